"""Renders the document as one page of plain HTML: headings, tables and links; no script, loads only the style."""

import json
from collections.abc import Iterator, Mapping, Sequence
from html import escape
from typing import Any

from pulsecart.runtime.problem import PROBLEM_ROOT
from tools.openapi.problems import Listed

Document = dict[str, Any]
CHOICES_MAX = 12
BLANK = {"const": ""}  # allowed for query parameters; described once, at the page's head
ACCESS = {
    "public": "none needed.",
    "either": "a token or session is optional.",
    "known": "a token or session is required.",
}


def page(document: Document, problems: Mapping[str, Listed], titles: Mapping[str, str]) -> str:
    """
    Args:
        titles: problem type → its title.
    """
    return "\n".join([*_head(document), *_contents(document), *_body(document), *_problems(problems, titles), _END])


_END = "  </main>\n</body>\n</html>\n"


def _head(document: Document) -> Iterator[str]:
    yield f"""<!doctype html>
<html lang="en">
<head>
  <meta charset="utf-8">
  <meta name="viewport" content="width=device-width, initial-scale=1">
  <meta name="color-scheme" content="light dark">
  <title>{escape(document["info"]["title"])} — API</title>
  <link rel="icon" href="/static/icon.svg" type="image/svg+xml">
  <link rel="stylesheet" href="/static/shop.css">
  <link rel="stylesheet" href="/static/api.css">
</head>
<body>
  <a class="skip" href="#operations">Skip to the operations</a>
  <header>
    <p class="brand"><img src="/static/icon.svg" alt="" width="28" height="28"><a href="/">PulseCart</a></p>
  </header>
  <main class="api">
    <h1>API</h1>
    <p>{_words(document["info"]["description"])}</p>
    <p>The same description for programs: <a href="/api/openapi.json">OpenAPI {escape(document["openapi"])}</a>.</p>"""


def _contents(document: Document) -> Iterator[str]:
    yield '    <nav aria-labelledby="contents"><h2 id="contents">Contents</h2><ul>'
    for tag in document["tags"]:
        links = [
            f'<a href="#{operation["operationId"]}">{escape(operation["summary"])}</a>'
            for _, _, operation in _operations(document, tag["name"])
        ]
        yield f"      <li>{escape(tag['name'])}<ul><li>{'</li><li>'.join(links)}</li></ul></li>"
    yield '      <li><a href="#shapes">Schemas</a></li><li><a href="#problems">Problems</a></li></ul></nav>'


def _body(document: Document) -> Iterator[str]:
    yield '    <div id="operations" tabindex="-1">'
    for tag in document["tags"]:
        yield f"    <h2>{escape(tag['name'])}</h2>"
        for method, path, operation in _operations(document, tag["name"]):
            yield from _operation(document, method, path, operation)
    yield '    </div>\n    <h2 id="shapes">Schemas</h2>'
    for name, schema in document["components"]["schemas"].items():
        yield f'    <section id="shape-{name}" aria-labelledby="shape-{name}-title">'
        yield f'      <h3 id="shape-{name}-title">{name}</h3>'
        yield f"      <p>{_words(schema.get('description', ''))}</p>" if schema.get("description") else ""
        yield f"{_members(schema)}</section>"


def _operation(document: Document, method: str, path: str, operation: Document) -> Iterator[str]:
    id = operation["operationId"]
    yield f'    <section id="{id}" aria-labelledby="{id}-title">'
    yield f'      <h3 id="{id}-title">{escape(operation["summary"])}</h3>'
    yield f"      <p><code>{method.upper()} {escape(path)}</code></p>"
    if "description" in operation:
        yield f"      <p>{_words(operation['description'])}</p>"
    access = "public" if not operation["security"] else "either" if {} in operation["security"] else "known"
    yield f"      <p>Credentials: {ACCESS[access]}</p>"
    parameters = [_found(document, one) for one in operation["parameters"]]
    rows = [
        (f"<code>{escape(one['name'])}</code>", _where(one), _shape(one["schema"]), _words(one["description"]))
        for one in parameters
    ]
    yield _table("Parameters of the request", ("Parameter", "Location", "Schema", "Meaning"), rows)
    for content in operation.get("requestBody", {}).get("content", {}).values():
        needed = "" if operation["requestBody"]["required"] else " (optional)"
        yield f"      <p>Body{needed}: {_shape(content['schema'])}, e.g.</p>{_example(content)}"
    replies = [_reply_row(status, _found(document, reply)) for status, reply in operation["responses"].items()]
    yield _table("Responses", ("Status", "Content", "Meaning"), replies)
    for status, reply in operation["responses"].items():
        for media, content in reply.get("content", {}).items():
            if "examples" in content:
                yield f"      <p>{status}, <code>{escape(media)}</code>, e.g.</p>{_example(content)}"
    yield "    </section>"


def _operations(document: Document, tag: str) -> Iterator[tuple[str, str, Document]]:
    for path, item in document["paths"].items():
        for method, operation in item.items():
            if tag in operation["tags"]:
                yield method, path, operation


def _reply_row(status: str, reply: Document) -> tuple[str, str, str]:
    shapes, types = [], []
    for media, content in reply.get("content", {}).items():
        if media == "application/problem+json":
            types += content["schema"]["allOf"][1]["properties"]["type"]["enum"]
        else:
            shapes.append(_shape(content["schema"]) if media == "application/json" else f"<code>{escape(media)}</code>")
    names = [type.removeprefix(f"{PROBLEM_ROOT}/") for type in types]
    links = ", ".join(f'<a href="#problem-{name}">{name}</a>' for name in names)
    meaning = "" if reply.get("description", "").startswith("`") else _words(reply["description"])
    return status, ", ".join(shapes) or ("problem" if types else "–"), " ".join(filter(None, (meaning, links)))


def _problems(problems: Mapping[str, Listed], titles: Mapping[str, str]) -> Iterator[str]:
    yield '    <h2 id="problems">Problems</h2>'
    for section in dict.fromkeys(one.section for one in problems.values()):
        yield f"    <h3>{escape(section)}</h3>\n    <dl>"
        for one in problems.values():
            if one.section == section:
                statuses = " or ".join(map(str, one.statuses)) + ", " + escape(titles.get(one.type, ""))
                yield (
                    f'      <dt id="problem-{one.type}"><code>{one.type}</code> {statuses}</dt>\n'
                    f"      <dd>{_words(one.when)} <b>{_words(one.do)}</b></dd>"
                )
        yield "    </dl>"


def _members(schema: Document) -> str:
    if "allOf" in schema:
        return "".join(
            _members(one) if "properties" in one else f"<p>{_shape(one)}, and:</p>" for one in schema["allOf"]
        )
    if "properties" not in schema:
        return f"<p>{_shape(schema)}</p>"
    rows = [
        (
            f"<code>{escape(name)}</code>",
            "required" if name in schema.get("required", ()) else "optional",
            _shape(member),
            _words(member.get("description", "")),
        )
        for name, member in schema["properties"].items()
    ]
    return _table("Members", ("Member", "Presence", "Schema", "Meaning"), rows)


def _shape(schema: Document) -> str:
    """Describe a schema in a few words; a named schema as a link to its members."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return f'<a href="#shape-{name}">{name}</a>'
    for either in ("anyOf", "oneOf"):
        if either in schema:
            return " or ".join(_shape(one) for one in schema[either] if one != BLANK)
    if "enum" in schema or "const" in schema:
        choices = schema.get("enum", [schema.get("const")])
        words = ", ".join(f"<code>{escape(str(one))}</code>" for one in choices[:CHOICES_MAX])
        return words if len(choices) <= CHOICES_MAX else f"{words} and {len(choices) - CHOICES_MAX} more"
    kinds = schema.get("type", "anything")
    kind = " or ".join(kinds) if isinstance(kinds, list) else str(kinds)
    if kind == "array":
        return f"list of {_shape(schema.get('items', {}))}"
    return ", ".join([kind, *_bounds(schema)])


def _bounds(schema: Document) -> Iterator[str]:
    named = {"format": "{}", "minimum": "≥ {}", "maximum": "≤ {}", "exclusiveMaximum": "&lt; {}"}
    named |= {"minLength": "at least {} characters", "maxLength": "at most {} characters", "pattern": "<code>{}</code>"}
    for name, words in named.items():
        if name in schema:
            yield words.format(escape(str(schema[name])))


def _table(caption: str, heads: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    head = "".join(f'<th scope="col">{one}</th>' for one in heads)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}</td>" for cell in row) + "</tr>" for row in rows)
    table = f"<table><caption>{caption}</caption><thead><tr>{head}</tr></thead>\n<tbody>{body}</tbody></table>"
    return f'<div class="scroll" role="region" aria-label="{caption}" tabindex="0">{table}</div>'


def _example(content: Document) -> str:
    value = content["examples"]["one"]["value"]
    return f'<pre tabindex="0"><code>{escape(json.dumps(value, indent=2, ensure_ascii=False))}</code></pre>'


def _found(document: Document, node: Document) -> Document:
    while "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        node = document["components"][kind][name]
    return node


def _where(parameter: Document) -> str:
    return f"{parameter['in']}{', required' if parameter.get('required') else ''}"


def _words(text: str) -> str:
    """Escape the text and mark `code`."""
    parts = escape(text, quote=False).split("`")
    return "".join(f"<code>{part}</code>" if index % 2 else part for index, part in enumerate(parts))
