"""Builds the OpenAPI 3.1 document from ``contracts/http/*.yaml``, the catalogue of problems and the code."""

from collections.abc import Iterator, Mapping, Sequence
from importlib import import_module
from typing import Any, Final

import msgspec
import yaml

from pulsecart.processes import registry
from pulsecart.runtime.contracts import CONTRACTS_DIR
from pulsecart.runtime.problem import PROBLEM_ROOT
from pulsecart.serving.http import JSON, PROBLEM
from pulsecart.serving.operation import Operation
from pulsecart.shop.currencies import DIGITS
from tools.openapi.problems import Listed, listed

DIRECTORY: Final = CONTRACTS_DIR / "http"
REFERENCE: Final = "#/components/{}/{}"
OF_OPERATION: Final = {"id", "tag", "summary", "description", "caller", "parameters", "body", "example", "replies"}
KEYS: Final = OF_OPERATION | {"problems", "schema", "media", "headers"}
Document = dict[str, Any]
# Caller in contracts/http → OpenAPI security: none; optional credentials; required credentials.
CALLERS: Final[Mapping[str, list[Document]]] = {
    "anybody": [],
    "optional": [{}, {"token": []}, {"session": []}],
    "buyer": [{"token": []}, {"session": []}],
    "keeper": [{"token": []}],
    "partner": [{"token": []}],
}


class Undescribed(Exception):
    """Code and ``contracts/http`` differ; the message has sentences on where, and what to do."""


def document() -> Document:
    """
    Return the whole document.

    Raises:
        Undescribed: a route without a description, or a description without a route.
    """
    operations = registry.load_all()
    described = {name: _read(operation) for name, operation in operations.items()}
    complaints = [one for name, operation in operations.items() for one in _unlike(operation, described[name])]
    known = {operation.dns_name for operation in operations.values() if operation.routes} | {"access", "components"}
    complaints += [
        f"{path.name} belongs to no operation with routes: remove it, or rename it"
        for path in DIRECTORY.glob("*.yaml")
        if path.stem not in known
    ]
    if complaints:
        raise Undescribed("\n".join(complaints))
    shared = yaml.safe_load((DIRECTORY / "components.yaml").read_text())
    shared["schemas"]["Currency"] |= {"type": "string", "enum": sorted(DIGITS)}
    bodies, body_schemas = _bodies(described)
    parts = _Parts(shared, listed(), bodies)
    paths: Document = {}
    for of_operation in described.values():
        for route, definition in of_operation.items():
            method, _, path = route.partition(" ")
            paths.setdefault(path, {})[method.lower()] = parts.operation(path, definition)
    return {
        "openapi": "3.1.0",
        "info": shared["info"],
        "servers": [{"url": "/"}],
        "tags": [{"name": tag} for tag in _tags(described)],
        "paths": paths,
        "components": {
            "schemas": shared["schemas"] | body_schemas,
            "parameters": {_key(name): _or_blank(one) for name, one in shared["parameters"].items()},
            "headers": shared["headers"],
            "responses": parts.refusals,
            "securitySchemes": shared["securitySchemes"],
        },
    }


class _Parts:
    """
    Args:
        shared: the content of ``components.yaml``.
        bodies: name of the Struct → reference to its schema.
    """

    def __init__(self, shared: Document, problems: Mapping[str, Listed], bodies: Mapping[str, Document]) -> None:
        self._shared = shared
        self._problems = problems
        self._bodies = bodies
        self.refusals: Document = {}

    def operation(self, path: str, definition: Document) -> Document:
        """Return one operation of a path item."""
        names = [*definition.get("parameters", ()), "Correlation-Id"]
        made = {
            "operationId": definition["id"],
            "tags": [definition["tag"]],
            "summary": definition["summary"],
            "description": definition.get("description"),
            "security": CALLERS[definition["caller"]],
            "parameters": [{"$ref": REFERENCE.format("parameters", _key(name))} for name in names],
            "requestBody": self._body(definition),
            "responses": self._replies(definition),
        }
        in_path = {one["name"] for one in map(self._shared["parameters"].get, names) if one["in"] == "path"}
        if in_path != {part[1:-1] for part in path.split("/") if part.startswith("{")}:
            raise Undescribed(f"{path}: its placeholders differ from the path parameters {sorted(in_path)}")
        return {name: value for name, value in made.items() if value is not None}

    def _body(self, definition: Document) -> Document | None:
        if "body" not in definition:
            return None
        schema = self._bodies[definition["body"].rstrip("?")]
        return {
            "required": not definition["body"].endswith("?"),
            "content": {JSON: {"schema": schema, "examples": {"one": {"value": definition["example"]}}}},
        }

    def _replies(self, definition: Document) -> Document:
        replies = {str(status): self._reply(reply) for status, reply in definition["replies"].items()}
        by_status: dict[int, list[str]] = {}
        for type in dict.fromkeys((*definition.get("problems", ()), *self._everywhere(definition))):
            by_status.setdefault(self._problems[type].statuses[0], []).append(type)
        for status in sorted(by_status):
            same = replies.get(str(status))
            if same:  # the status is also a described reply
                same["content"] |= self._refused(status, by_status[status])["content"]
            else:
                replies[str(status)] = {"$ref": REFERENCE.format("responses", self._shared_refusal(status, by_status))}
        return replies

    def _everywhere(self, definition: Document) -> Iterator[str]:
        yield from self._shared["problems"]["always"]
        if "body" in definition:
            yield from self._shared["problems"]["body"]
        if definition["caller"] != "anybody":
            yield from self._shared["problems"]["token"]

    def _reply(self, reply: Document) -> Document:
        made: Document = {
            "description": reply["description"],
            "headers": _headers(("Correlation-Id", *reply.get("headers", ()))),
        }
        if "schema" in reply:
            schema = reply["schema"]
            reference = schema if isinstance(schema, dict) else {"$ref": REFERENCE.format("schemas", schema)}
            made["content"] = {JSON: {"schema": reference, "examples": {"one": {"value": reply["example"]}}}}
        if "media" in reply:
            made["content"] = {media: {"schema": {"type": "string"}} for media in reply["media"]}
        return made

    def _shared_refusal(self, status: int, by_status: Mapping[int, Sequence[str]]) -> str:
        """Return the refusal's name in the components; many operations share the same refusal."""
        made = self._refused(status, sorted(by_status[status]))
        for name, refused in self.refusals.items():
            if refused == made:
                return name
        of_status = sum(name.startswith(f"Problem-{status}") for name in self.refusals)
        name = f"Problem-{status}-{of_status + 1}"
        self.refusals[name] = made
        return name

    def _refused(self, status: int, types: Sequence[str]) -> Document:
        uris = [f"{PROBLEM_ROOT}/{type}" for type in types]
        schema = {
            "allOf": [
                {"$ref": REFERENCE.format("schemas", "Problem")},
                {"properties": {"type": {"enum": uris}, "status": {"const": status}}},
            ]
        }
        headers = {401: ("WWW-Authenticate",), 503: ("Retry-After",)}.get(status, ())
        made: Document = {
            "description": " · ".join(f"`{type}`: {self._problems[type].when}" for type in types),
            "content": {PROBLEM: {"schema": schema}},
        }
        return made | ({"headers": _headers(headers)} if headers else {})


def _headers(names: Sequence[str]) -> Document:
    return {name: {"$ref": REFERENCE.format("headers", name)} for name in names}


def _read(operation: Operation) -> dict[str, Document]:
    path = DIRECTORY / f"{operation.dns_name}.yaml"
    found: dict[str, Document] = yaml.safe_load(path.read_text()) if path.exists() else {}
    for route, definition in found.items():
        unknown = [key for one in (definition, *definition["replies"].values()) for key in one.keys() - KEYS]
        if unknown:
            raise Undescribed(
                f"{path.name}: {route} has unknown keys {', '.join(unknown)}: quote a text with a comma or a colon"
            )
        definition["of"] = operation.name
    return found


def _unlike(operation: Operation, described: Mapping[str, Document]) -> Iterator[str]:
    routes = {f"{route.method} {route.path}" for route in operation.routes}
    for route in sorted(routes - described.keys()):
        yield f"describe {route} in contracts/http/{operation.dns_name}.yaml"
    for route in sorted(described.keys() - routes):
        yield f"contracts/http/{operation.dns_name}.yaml: no operation has the route {route}: remove it"


def _bodies(described: Mapping[str, Mapping[str, Document]]) -> tuple[dict[str, Document], Document]:
    """Return references to, and schemas of, the Structs of the request bodies."""
    request_bodies = {
        definition["body"].rstrip("?"): definition["of"]
        for of in described.values()
        for definition in of.values()
        if "body" in definition
    }
    structs = [
        getattr(import_module(f"functions.{operation}.main"), name) for name, operation in request_bodies.items()
    ]
    references, schemas = msgspec.json.schema_components(structs, ref_template=REFERENCE.format("schemas", "{name}"))
    schemas = msgspec.json.decode(msgspec.json.encode(schemas).replace(rb"$(?!\\n)", b"$"))  # a schema's $ is strict
    for schema in schemas.values():
        if "description" in schema:
            schema["description"] = " ".join(schema["description"].replace("``", "`").split())
    return dict(zip(request_bodies, references, strict=True)), dict(schemas)


def _tags(described: Mapping[str, Mapping[str, Document]]) -> list[str]:
    return list(dict.fromkeys(definition["tag"] for of in described.values() for definition in of.values()))


def _or_blank(parameter: Document) -> Document:
    """Allow a blank query parameter, which counts as absent, unless ``allowEmptyValue`` is false."""
    if parameter["in"] != "query" or parameter.get("allowEmptyValue") is False:
        return parameter
    return parameter | {"allowEmptyValue": True, "schema": {"anyOf": [parameter["schema"], {"const": ""}]}}


def _key(name: str) -> str:
    return name.replace(" ", "-")
