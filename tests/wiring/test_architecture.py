"""docs/architecture.md has the arrows of the import contracts; docs/a-purchase.md names functions that exist."""

import ast
import re
import tomllib
from collections.abc import Iterator
from functools import cache
from itertools import pairwise
from typing import Any

from pulsecart.admin.which_shop import ROOT

PAGE = (ROOT / "docs" / "architecture.md").read_text()
CONTRACTS: list[dict[str, Any]] = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"][
    "contracts"
]
BESIDE = {"contracts", "eventing", "k8s"}


def _layers(named: str) -> list[list[str]]:
    (contract,) = [c for c in CONTRACTS if c["type"] == "layers" and c["name"].startswith(named)]
    return [[name.strip().removeprefix("pulsecart.") for name in layer.split("|")] for layer in contract["layers"]]


def _arrows(layers: list[list[str]]) -> set[tuple[str, str]]:
    return {(upper, lower) for above, below in pairwise(layers) for upper in above for lower in below}


def _section(title: str) -> str:
    found = PAGE.partition(f"\n## {title}\n")[2].partition("\n## ")[0]
    assert found, f"docs/architecture.md has no section {title}"
    return found


def _drawn(section: str) -> set[tuple[str, str]]:
    picture = section.partition("```mermaid")[2].partition("```")[0]
    sides = [line.split("-->") for line in picture.splitlines() if "-->" in line]
    return {
        (upper.strip(), lower.strip())
        for above, below in sides
        for upper in above.split("&")
        for lower in below.split("&")
    }


def _rows(section: str) -> list[str]:
    return re.findall(r"^\| \[`([^`]+)`\]", section, re.MULTILINE)


def test_the_picture_of_the_rooms_has_the_arrows_of_the_layers() -> None:
    assert _drawn(_section("Rooms")) == _arrows(_layers("rooms:"))


def test_every_room_and_folder_is_in_the_tables_in_the_order_of_the_layers() -> None:
    rooms = [room for layer in _layers("rooms:") for room in layer]
    listed = [row.rstrip("/").removeprefix("pulsecart/") for row in _rows(_section("Rooms"))]
    assert listed[: len(rooms)] == rooms
    folders = {path.name for path in (ROOT / "pulsecart").iterdir() if path.is_dir() and path.name != "__pycache__"}
    assert set(listed) == folders | BESIDE | {"functions", "tools"}


def test_the_picture_of_the_departments_has_the_arrows_of_the_layers() -> None:
    section = _section("Departments of the shop")
    departments = _layers("departments")
    assert _drawn(section) == _arrows(departments)
    assert _rows(section) == [department for layer in departments for department in layer]


def test_the_page_names_every_workflow_that_may_join_database_and_redis() -> None:
    (pure,) = [c for c in CONTRACTS if c["name"].startswith("values and decisions of the shop")]
    allowed = {line.partition(" ->")[0].removeprefix("pulsecart.shop.") for line in pure["ignore_imports"]}
    named = re.findall(r"^- `([^`]+)`:", _section("Departments of the shop"), re.MULTILINE)
    assert named == sorted(name.replace(".", "/") for name in allowed)


def test_the_page_knows_every_place_that_a_department_can_have() -> None:
    places = {
        path.name for path in (ROOT / "pulsecart" / "shop").glob("*/*") if path.is_dir() and path.name != "__pycache__"
    }
    named = re.findall(r"^\| `([a-z]+)/` \|", _section("Departments of the shop"), re.MULTILINE)
    assert set(named) == places


@cache
def _names(path: str) -> frozenset[str]:
    """Return a module's names: functions, classes, their methods as ``Class.method``, and its constants."""
    return frozenset(_defined(ast.parse((ROOT / path).read_text())))


def _defined(node: ast.AST, prefix: str = "") -> Iterator[str]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef):
            yield prefix + child.name
            yield from _defined(child, f"{prefix}{child.name}.")
        elif isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef):
            yield prefix + child.name
        elif isinstance(child, ast.Assign):
            yield from (prefix + target.id for target in child.targets if isinstance(target, ast.Name))


def test_every_function_that_the_steps_of_a_purchase_name_exists() -> None:
    text = (ROOT / "docs" / "a-purchase.md").read_text()
    steps = re.split(r"\n(?=[0-9]+\. )", text)[1:]
    assert [int(step.partition(".")[0]) for step in steps] == list(range(1, len(steps) + 1))
    for step in steps:
        assert re.search(r"`[^`:]+\.py:[^`]+`", step), f"docs/a-purchase.md: this step names no function: {step}"
    named = re.findall(r"`([^`:]+\.py):([^`]+)`", text)
    missing = [f"{path}:{name}" for path, name in named if not (ROOT / path).is_file() or name not in _names(path)]
    assert missing == [], "correct docs/a-purchase.md"
