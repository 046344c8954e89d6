"""
``python schemas.py OUT FILE…``: writes JSON Schemas for kubeconform, one per kind, from Kubernetes' OpenAPI document
(.json) and CustomResourceDefinitions (.yaml). They refuse unknown fields, if the kind itself does.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

Schema = dict[str, Any]


def strict(node: Any) -> Any:
    """Return the schema with unknown fields refused; a field of number or text is declared as both."""
    if isinstance(node, list):
        return [strict(one) for one in node]
    if not isinstance(node, dict):
        return node
    if node.get("format") == "int-or-string" or node.get("x-kubernetes-int-or-string"):
        return {"type": ["integer", "string"]}
    made = {key: strict(value) for key, value in node.items()}
    if isinstance(node.get("properties"), dict) and not node.get("x-kubernetes-preserve-unknown-fields"):
        made.setdefault("additionalProperties", False)
    return made


def of_kubernetes(path: Path) -> Iterator[tuple[str, Schema]]:
    definitions = strict(json.loads(path.read_text())["definitions"])
    for name, definition in definitions.items():
        for kind in definition.get("x-kubernetes-group-version-kind", ()):
            group = kind["group"] or kind["version"]
            yield (
                f"{group}_{kind['version']}_{kind['kind'].lower()}",
                {
                    "$ref": f"#/definitions/{name}",
                    "definitions": needed_by(name, definitions),
                },
            )


def needed_by(name: str, definitions: Schema) -> Schema:
    found: Schema = {}
    waiting = [name]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found[one] = definitions[one]
            waiting += [ref.rpartition("/")[2] for ref in refs(definitions[one])]
    return found


def refs(node: Any) -> Iterator[str]:
    if isinstance(node, dict):
        for key, value in node.items():
            if key == "$ref" and isinstance(value, str):
                yield value
            else:
                yield from refs(value)
    elif isinstance(node, list):
        for one in node:
            yield from refs(one)


def of_definition(path: Path) -> Iterator[tuple[str, Schema]]:
    for crd in yaml.safe_load_all(path.read_text()):
        if not crd or crd["kind"] != "CustomResourceDefinition":
            continue
        for version in crd["spec"]["versions"]:
            schema = strict(version["schema"]["openAPIV3Schema"])
            schema.setdefault("properties", {}).update(
                {
                    name: {"type": kind}
                    for name, kind in (("apiVersion", "string"), ("kind", "string"), ("metadata", "object"))
                }
            )
            name = f"{crd['spec']['group']}_{version['name']}_{crd['spec']['names']['kind'].lower()}"
            yield name, schema


def main(out: Path, sources: list[Path]) -> None:
    for source in sources:
        for name, schema in of_kubernetes(source) if source.suffix == ".json" else of_definition(source):
            (out / f"{name}.json").write_text(json.dumps(schema))


if __name__ == "__main__":
    main(Path(sys.argv[1]), [Path(name) for name in sys.argv[2:]])
