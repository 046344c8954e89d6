"""Every operation is complete: code, test, YAML and contract; each complaint states what to add."""

import pytest

from pulsecart.processes import registry
from tests.wiring import rules
from tools.operations_table import ROOT, Wired, read


@pytest.fixture(scope="module")
def rows() -> list[Wired]:
    return read()


def test_every_folder_is_an_operation_with_a_test_of_its_name() -> None:
    assert list(rules.files(ROOT, registry.names())) == []


def test_every_operation_that_receives_has_its_eventing_file_and_no_other_has_one(rows: list[Wired]) -> None:
    assert list(rules.eventing_files(ROOT, rows)) == []


@pytest.mark.parametrize("name", registry.names())
def test_an_operation_receives_what_its_triggers_bring_and_they_bring_what_it_receives(
    rows: list[Wired], name: str
) -> None:
    (row,) = [row for row in rows if row.operation.name == name]
    assert list(rules.hearing(row)) == []


def test_every_trigger_calls_a_path_of_its_own(rows: list[Wired]) -> None:
    assert list(rules.paths(rows)) == []


def test_every_type_in_a_filter_exists() -> None:
    assert list(rules.literal_types(ROOT)) == []


def test_everything_emitted_has_a_contract(rows: list[Wired]) -> None:
    assert list(rules.emitting(rows)) == []


def test_every_subscriber_is_an_operation(rows: list[Wired]) -> None:
    """``read`` refuses a ref to a service that does not exist; an absolute uri would go round that."""
    from pulsecart.broker.manifests.eventing import EVENTING_DIR, load

    eventing = load(EVENTING_DIR, [row.operation.dns_name for row in rows])
    away = [t.where for t in eventing.triggers if t.subscriber.service is None]
    away += [s.where for s in eventing.ping_sources if s.sink.service is None]
    assert away == [], "name the operation in a ref"


def test_every_operation_name_is_a_python_name_and_a_dns_name() -> None:
    assert [name for name in registry.names() if not name.isidentifier() or name != name.lower()] == []


def test_no_operation_imports_another() -> None:
    found = [
        f"functions/{name}/main.py imports functions.{other}"
        for name in registry.names()
        for other in registry.names()
        if other != name and f"functions.{other}" in (ROOT / "functions" / name / "main.py").read_text()
    ]
    assert found == []
