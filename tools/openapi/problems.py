"""Compares the problems in the catalogue (``contracts/problems.yaml``) with those that the code answers."""

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import yaml

from pulsecart.runtime.contracts import CONTRACTS_DIR

ROOT: Final = CONTRACTS_DIR.parent
FILE: Final = CONTRACTS_DIR / "problems.yaml"
CODE: Final = ("pulsecart", "functions")


@dataclass(frozen=True, slots=True)
class Listed:
    """
    Args:
        statuses: the first is the API's; the others are replies to events.
        when, do: one or two sentences each.
    """

    type: str
    section: str
    statuses: tuple[int, ...]
    when: str
    do: str


@dataclass(frozen=True, slots=True)
class Answered:
    """``where``: file and line that create it; ``type`` is None if not a literal, which cannot be listed."""

    type: str | None
    status: int
    title: str
    where: str


@dataclass(frozen=True, slots=True)
class _Kind:
    status: int
    title: str


def listed(path: Path = FILE) -> dict[str, Listed]:
    """Return the catalogue by type, in the file's order."""
    found: dict[str, Listed] = {}
    for section, problems in yaml.safe_load(path.read_text()).items():
        for type, description in problems.items():
            statuses = description["status"] if isinstance(description["status"], list) else [description["status"]]
            if type in found or description.keys() != {"status", "when", "do"}:
                raise ValueError(
                    f"{path.name}: {type} needs exactly one entry with status, when and do; quote the sentences"
                )
            found[type] = Listed(type, section, tuple(statuses), description["when"], description["do"])
    return found


def answered(root: Path = ROOT) -> list[Answered]:
    """Return every call in the code of a class in ``pulsecart.runtime.problem``'s tree."""
    trees = {path: ast.parse(path.read_text()) for package in CODE for path in sorted((root / package).rglob("*.py"))}
    kinds = _kinds(trees)
    found = []
    for path, tree in trees.items():
        for node in ast.walk(tree):
            if isinstance(node, ast.Call) and _name(node.func) in kinds and (node.args or node.keywords):
                kind, first = kinds[_name(node.func)], node.args[0] if node.args else None
                type = first.value if isinstance(first, ast.Constant) else None
                where = f"{path.relative_to(root)}:{node.lineno}"
                found.append(Answered(str(type) if type else None, kind.status, kind.title, where))
    return found


def complaints(known: dict[str, Listed], found: list[Answered]) -> Iterator[str]:
    """Yield one sentence per difference between catalogue and code, with what to do."""
    statuses: dict[str, set[int]] = {}
    for one in found:
        if one.type is None:
            yield f"{one.where}: write the problem's type as a literal, so that this tool finds it"
        elif one.type not in known:
            yield f"{one.where}: add {one.type} to contracts/problems.yaml: status {one.status}, when, do"
        else:
            statuses.setdefault(one.type, set()).add(one.status)
    for type, description in known.items():
        if type not in statuses:
            yield f"contracts/problems.yaml: the code no longer has {type}: remove it"
        elif statuses[type] != set(description.statuses):
            yield f"contracts/problems.yaml: {type} is answered with {sorted(statuses[type])}: correct its status"


def titles(found: list[Answered]) -> dict[str, str]:
    """Type → title; the first in the code if there are several."""
    named: dict[str, str] = {}
    for one in found:
        if one.type is not None:
            named.setdefault(one.type, one.title)
    return named


def _kinds(trees: dict[Path, ast.Module]) -> dict[str, _Kind]:
    """Return the tree's classes by name, with their own or inherited status and title."""
    classes = [node for tree in trees.values() for node in ast.walk(tree) if isinstance(node, ast.ClassDef)]
    kinds: dict[str, _Kind] = {}
    grown = True
    while grown:
        grown = False
        for node in classes:
            above = next((kinds[_name(base)] for base in node.bases if _name(base) in kinds), None)
            if node.name not in kinds and (above is not None or node.name == "Problem"):
                kinds[node.name], grown = _kind(node, above or _Kind(0, "")), True
    return kinds


def _kind(node: ast.ClassDef, above: _Kind) -> _Kind:
    description = {
        _name(line.targets[0]): line.value.value
        for line in node.body
        if isinstance(line, ast.Assign) and isinstance(line.value, ast.Constant)
    }
    return _Kind(int(str(description.get("status", above.status))), str(description.get("title", above.title)))


def _name(node: ast.expr) -> str:
    return node.id if isinstance(node, ast.Name) else node.attr if isinstance(node, ast.Attribute) else ""
