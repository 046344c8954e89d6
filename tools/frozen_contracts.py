"""
Verifies that released contracts do not change: ``contracts/released.json`` holds a fingerprint of each.

    python -m tools.frozen_contracts            adds the contracts without a fingerprint, and changes no other entry
    python -m tools.frozen_contracts --check    lists released contracts that changed or are gone; then exit status 1

A contract whose ``$comment`` begins with "Draft" is not released: its members may still change. In CI (PULSECART_CI) a
draft fails the check.
"""

import argparse
import hashlib
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

from pulsecart.runtime.contracts import CONTRACTS_DIR

# Explanatory keys may change at any time.
_EXPLAINS: Final = frozenset({"description", "title", "examples", "$comment"})
# Below these keys stand the event's own member names, which are never explanatory.
_NAMED: Final = frozenset({"properties", "$defs", "patternProperties", "dependentSchemas"})

DRAFT: Final = "Draft"
NO_EVENTS: Final = frozenset({"released.json", "openapi.json"})


def fingerprint(schema: dict[str, Any]) -> str:
    """Return the SHA-256 (hex) of the schema without explanatory keys, as JSON with sorted keys and no white space."""
    text = json.dumps(_demands(schema), sort_keys=True, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _demands(node: Any, named: bool = False) -> Any:
    if isinstance(node, dict):
        return {k: _demands(v, not named and k in _NAMED) for k, v in node.items() if named or k not in _EXPLAINS}
    if isinstance(node, list):
        return [_demands(item) for item in node]
    return node


def changed(directory: Path = CONTRACTS_DIR) -> list[str]:
    """Return one sentence per released contract that differs from its release; empty if none does."""
    now = _fingerprints(directory)
    released = _released(directory)
    gone = [
        f"{name} was released and is missing: restore it; a contract stays, even when its type is no longer published"
        for name in released
        if name not in now
    ]
    return gone + [_advice(name) for name in now if name in released and now[name] != released[name]]


def unreleased(directory: Path = CONTRACTS_DIR) -> list[str]:
    """Return the contracts without a fingerprint that are no drafts, by path below ``contracts/``."""
    return sorted(_fingerprints(directory).keys() - _released(directory).keys() - set(drafts(directory)))


def drafts(directory: Path = CONTRACTS_DIR) -> list[str]:
    """Return the contracts that say in ``$comment`` that they are drafts, by path below ``contracts/``."""
    return [name for name, schema in _schemas(directory).items() if str(schema.get("$comment", "")).startswith(DRAFT)]


def release(directory: Path = CONTRACTS_DIR) -> list[str]:
    """Freeze the contracts that are not frozen yet and return their names."""
    new = unreleased(directory)
    now = _fingerprints(directory)
    entries = dict(sorted({**_released(directory), **{name: now[name] for name in new}}.items()))
    (directory / "released.json").write_text(json.dumps(entries, indent=2) + "\n")
    return new


def _advice(name: str) -> str:
    stem, _, version = name.removesuffix(".json").rpartition(".v")
    newer = f"{stem}.v{int(version) + 1}.json" if version.isdigit() else f"a new version of {name}"
    return (
        f"{name} was released and has changed: revert the change and create {newer} (docs/messages.md, 'A new version')"
    )


def _fingerprints(directory: Path) -> dict[str, str]:
    return {name: fingerprint(schema) for name, schema in _schemas(directory).items()}


def _schemas(directory: Path) -> dict[str, dict[str, Any]]:
    paths = (p for p in sorted(directory.rglob("*.json")) if p.name not in NO_EVENTS)
    return {p.relative_to(directory).as_posix(): json.loads(p.read_text()) for p in paths}


def _released(directory: Path) -> dict[str, str]:
    path = directory / "released.json"
    entries: dict[str, str] = json.loads(path.read_text()) if path.exists() else {}
    return entries


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="tools.frozen_contracts", description="Freeze contracts, and verify that they stay frozen."
    )
    parser.add_argument("--check", action="store_true", help="freeze nothing; list the released contracts that changed")
    if not parser.parse_args(arguments).check:
        sys.stdout.write("".join(f"released {name}\n" for name in release()))
    complaints = changed() + [f"contracts/{n} is not released: run ./scripts/generate" for n in unreleased()]
    if os.environ.get("PULSECART_CI"):
        complaints += [f"contracts/{n} is a draft: delete its $comment, then run ./scripts/generate" for n in drafts()]
    sys.stderr.write("".join(f"{complaint}\n" for complaint in complaints))
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(main())
