"""The API's description is complete, valid, agrees with the code, and discloses no internals."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec
import pytest
import yaml
from jsonschema_rs import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from pulsecart.processes import registry
from pulsecart.runtime.problem import PROBLEM_ROOT
from tools.openapi import __main__ as command
from tools.openapi import document as described
from tools.openapi.document import Undescribed, document
from tools.openapi.problems import ROOT, Answered, answered, complaints, listed

DOCUMENT = document()
OPERATIONS = [
    pytest.param(f"{method.upper()} {path}", told, id=told["operationId"])
    for path, item in DOCUMENT["paths"].items()
    for method, told in item.items()
]
# What only an insider would say; names that are also the seeds' own words for a thing are not among them.
MODULES = {path.relative_to(ROOT).with_suffix("").as_posix() for p in ("pulsecart", "functions")
           for path in (ROOT / p).rglob("*.py")}  # fmt: skip


def found(node: dict[str, Any]) -> dict[str, Any]:
    while "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        node = DOCUMENT["components"][kind][name]
    return node


def validator(schema: dict[str, Any]) -> Draft202012Validator:
    return Draft202012Validator({**schema, "components": DOCUMENT["components"]}, validate_formats=True)


def test_the_document_is_openapi_3_1() -> None:
    assert [error.message for error in OpenAPIV31SpecValidator(DOCUMENT).iter_errors()] == []
    assert DOCUMENT["openapi"].startswith("3.1")


def test_every_route_is_described_and_nothing_else() -> None:
    routes = {f"{route.method} {route.path}" for o in registry.load_all().values() for route in o.routes}
    assert {str(param.values[0]) for param in OPERATIONS} == routes


def test_a_route_without_description_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for file in described.DIRECTORY.glob("*.yaml"):
        reported = yaml.safe_load(file.read_text())
        reported.pop("GET /api/v1/flash-sales/{id}", None)
        (tmp_path / file.name).write_text(yaml.safe_dump(reported))
    (tmp_path / "cancel.yaml").write_text("GET /nowhere: {replies: {}}\n")
    monkeypatch.setattr(described, "DIRECTORY", tmp_path)
    with pytest.raises(Undescribed) as wrong:
        document()
    assert "describe GET /api/v1/flash-sales/{id} in contracts/http/flash-sales.yaml" in str(wrong.value)
    assert "contracts/http/cancel.yaml: no operation has the route GET /nowhere: remove it" in str(wrong.value)
    (tmp_path / "cancel.yaml").write_text("GET /nowhere: {replies: {200: {description: Here, there}}}\n")
    with pytest.raises(Undescribed, match="has unknown keys there: quote"):
        document()


@pytest.mark.parametrize(("route", "operation"), OPERATIONS)
def test_every_example_is_valid(route: str, operation: dict[str, Any]) -> None:
    contents = [reply.get("content", {}) for reply in map(found, operation["responses"].values())]
    contents.append(operation.get("requestBody", {}).get("content", {}))
    for content in (one for by_media in contents for one in by_media.values()):
        for example in content.get("examples", {}).values():
            assert [e.message for e in validator(content["schema"]).iter_errors(example["value"])] == [], route
    for parameter in map(found, operation["parameters"]):
        if "example" in parameter:
            assert validator(parameter["schema"]).is_valid(parameter["example"]), parameter["name"]


@pytest.mark.parametrize(("route", "operation"), OPERATIONS)
def test_a_json_body_has_an_example_that_the_code_takes(route: str, operation: dict[str, Any]) -> None:
    for media, content in operation.get("requestBody", {}).get("content", {}).items():
        name = content["schema"]["$ref"].rpartition("/")[2]
        struct = next(vars(module)[name] for module in _mains() if name in vars(module))
        msgspec.json.decode(json.dumps(content["examples"]["one"]["value"]), type=struct)
        assert media == "application/json"
        members = {field.encode_name: field.required for field in msgspec.structs.fields(struct)}
        schema = found(content["schema"])
        assert {name: name in schema.get("required", ()) for name in schema["properties"]} == members


@pytest.mark.parametrize(("route", "operation"), OPERATIONS)
def test_no_example_is_of_a_moment_that_is_over(route: str, operation: dict[str, Any]) -> None:
    contents = [reply.get("content", {}) for reply in map(found, operation["responses"].values())]
    contents.append(operation.get("requestBody", {}).get("content", {}))
    shown = json.dumps([[one.get("examples") for one in content.values()] for content in contents])
    shown += json.dumps([parameter.get("example") for parameter in map(found, operation["parameters"])])
    over = [moment for moment in re.findall(r'"(\d{4})-\d\d-\d\d', shown) if int(moment) < 2090]
    assert over == [], f"{route}: an example that is sent as it stands is refused some day; take the year 2100"


@pytest.mark.parametrize(("route", "operation"), OPERATIONS)
def test_a_parameter_of_a_query_says_whether_it_may_be_blank(route: str, operation: dict[str, Any]) -> None:
    for parameter in map(found, operation["parameters"]):
        if parameter["in"] == "query":
            assert validator(parameter["schema"]).is_valid("") == parameter["allowEmptyValue"], route


@pytest.mark.parametrize(("route", "operation"), OPERATIONS)
def test_every_operation_says_what_may_go_wrong(route: str, operation: dict[str, Any]) -> None:
    problems = {type for reply in map(found, operation["responses"].values()) for type in _types(reply)}
    assert f"{PROBLEM_ROOT}/internal-error" in problems
    assert (f"{PROBLEM_ROOT}/body-invalid" in problems) == ("requestBody" in operation)
    assert (f"{PROBLEM_ROOT}/bad-token" in problems) == bool(operation["security"])


def test_the_catalogue_lists_every_problem_that_the_code_answers_and_no_other() -> None:
    assert list(complaints(listed(), answered())) == []
    assert len(answered()) > 100


def test_a_problem_that_is_not_listed_not_answered_or_not_written_out_is_named(tmp_path: Path) -> None:
    for package in ("pulsecart/runtime", "functions"):
        (tmp_path / package).mkdir(parents=True)
    (tmp_path / "pulsecart/runtime/problem.py").write_text(
        "class Problem(Exception):\n    status = 500\n    title = 'x'\n"
        "class Lost(Problem):\n    status = 404\n"
        "def f(x):\n    raise Lost('gone-away', 'why')\n    raise Lost(x, 'why')\n    raise Lost('sold-out', 'why')\n"
    )
    found = answered(tmp_path)
    assert found[0] == Answered("gone-away", 404, "x", "pulsecart/runtime/problem.py:7")
    known = {type: one for type, one in listed().items() if type in ("sold-out", "cart-full")}
    assert list(complaints(known, found)) == [
        "pulsecart/runtime/problem.py:7: add gone-away to contracts/problems.yaml: status 404, when, do",
        "pulsecart/runtime/problem.py:8: write the problem's type as a literal, so that this tool finds it",
        "contracts/problems.yaml: sold-out is answered with [404]: correct its status",
        "contracts/problems.yaml: the code no longer has cart-full: remove it",
    ]


def test_every_problem_says_when_it_comes_and_what_to_do() -> None:
    for one in listed().values():
        assert re.fullmatch("[a-z]+(-[a-z]+)*", one.type)
        assert one.when.endswith((".", "?")), one.type
        assert one.do.endswith((".", "?")), one.type


def test_no_internal_name_leaks() -> None:
    tables = set(re.findall(r"CREATE (?:UNLOGGED )?TABLE (\w+_\w+)", _migrations()))
    assert len(tables) > 10
    inside = tables | {module.replace("/", ".") for module in MODULES} | MODULES | {"psycopg", "msgspec", "Valkey"}
    public = [*command.written().values(), (ROOT / "contracts" / "problems.yaml").read_text()]
    anywhere = re.compile(rf"(?<![\w./-])(?:{'|'.join(map(re.escape, inside))})(?![\w/])")
    for text in public:
        assert anywhere.findall(text) == []


def test_a_stale_file_is_noticed_and_rewritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    page = tmp_path / "api.html"
    page.write_text("old")
    monkeypatch.setattr(command, "PAGE", page)
    monkeypatch.setattr(command, "DOCUMENT", tmp_path / "openapi.json")
    monkeypatch.setattr(command, "ROOT", tmp_path)
    assert command.main(["--check"]) == 1
    assert "api.html is stale" in capsys.readouterr().err
    assert page.read_text() == "old", "a check writes nothing"
    assert command.main([]) == 0
    assert command.main(["--check"]) == 0


def _types(reply: dict[str, Any]) -> list[str]:
    content = reply.get("content", {}).get("application/problem+json")
    return content["schema"]["allOf"][1]["properties"]["type"]["enum"] if content else []


def _mains() -> Iterator[Any]:
    from importlib import import_module

    return (import_module(f"functions.{name}.main") for name in registry.names())


def _migrations() -> str:
    return "".join(path.read_text() for path in sorted((ROOT / "pulsecart" / "migrations").glob("*.sql")))
