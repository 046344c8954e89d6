"""Breaks each rule of the wiring once, and expects a complaint that states what to add."""

from pathlib import Path

import pytest

from pulsecart.broker.manifests.eventing import load
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.event import Message
from pulsecart.serving.operation import Operation, operation
from pulsecart.serving.subscriptions import Received, on, on_anything
from pulsecart.shop.orders.events import OrderCreated, OrderPaid
from tests.wiring import rules
from tools.operations_table import Wired, wanted, wired

CREATED = "ecommerce.order.order.created.v1"
BROKER = """
apiVersion: eventing.knative.dev/v1
kind: Broker
metadata: {name: default}
spec: {delivery: {deadLetterSink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: bin}}}}
"""
TRIGGER = """
apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata: {name: NAME}
spec:
  broker: default
  filter: {attributes: {ATTRIBUTES}}
  subscriber: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: ship-it}, uri: /NAME}
  delivery: {deadLetterSink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: bin}, uri: /NAME}}
"""
PING = """
apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: ship-sweep}
spec: {schedule: "* * * * *", sink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: ship-it}, uri: URI}}
"""


async def ship(event: Received[OrderCreated], deps: Deps) -> None: ...
async def keep(event: Received[bytes], deps: Deps) -> None: ...


def trigger(attributes: str = f"type: {CREATED}", name: str = "ship-it") -> str:
    return TRIGGER.replace("NAME", name).replace("ATTRIBUTES", attributes)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for folder in ("functions/ship_it", "functions/bin", "eventing", "tests/functions"):
        (tmp_path / folder).mkdir(parents=True)
    for name in ("ship_it", "bin"):
        (tmp_path / f"functions/{name}/main.py").write_text(f"{name} = operation({name!r})".replace("'", '"'))
        (tmp_path / f"tests/functions/test_{name}.py").write_text("")
    (tmp_path / "eventing/broker.yaml").write_text(BROKER)
    (tmp_path / "eventing/ship-it.yaml").write_text(trigger())
    return tmp_path


def rows(root: Path, *operations: Operation) -> list[Wired]:
    given = operations or (operation("ship_it", events=[on(OrderCreated, ship)]).operation,)
    made = [*given, operation("bin", events=[on_anything(keep)]).operation]
    return wired(load(root / "eventing", [one.dns_name for one in made]), made)


def ship_it(root: Path, *operations: Operation) -> Wired:
    return next(row for row in rows(root, *operations) if row.operation.name == "ship_it")


def test_what_is_whole_has_no_complaint(root: Path) -> None:
    assert list(rules.files(root, ["bin", "ship_it"])) == []
    assert list(rules.eventing_files(root, rows(root))) == []
    assert [c for row in rows(root) for c in rules.hearing(row)] == []
    assert list(rules.paths(rows(root))) == []
    assert list(rules.literal_types(root)) == []
    assert list(rules.emitting(rows(root))) == []


def test_a_folder_without_a_main_is_missed(root: Path) -> None:
    (root / "functions/ship_it/main.py").unlink()
    assert "has no main.py" in next(rules.files(root, ["bin", "ship_it"]))


def test_a_main_that_makes_another_function_is_found(root: Path) -> None:
    (root / "functions/ship_it/main.py").write_text('send_it = operation("send_it")')
    assert "must define ship_it" in next(rules.files(root, ["bin", "ship_it"]))


def test_an_operation_without_a_test_is_found(root: Path) -> None:
    (root / "tests/functions/test_ship_it.py").unlink()
    assert "tests/functions/test_ship_it.py is missing" in next(rules.files(root, ["bin", "ship_it"]))


def test_a_test_of_no_operation_is_found(root: Path) -> None:
    (root / "tests/functions/test_ghost.py").write_text("")
    assert "test_ghost.py tests no operation" in next(rules.files(root, ["bin", "ship_it"]))


def test_an_operation_that_receives_and_has_no_eventing_file_is_found(root: Path) -> None:
    (root / "eventing/ship-it.yaml").unlink()
    assert "eventing/ship-it.yaml is missing" in next(rules.eventing_files(root, rows(root)))


def test_an_eventing_file_of_one_that_receives_nothing_is_found(root: Path) -> None:
    deaf = operation("ship_it").operation
    assert "subscribes to nothing" in next(rules.eventing_files(root, rows(root, deaf)))


def test_an_eventing_file_of_no_one_is_found(root: Path) -> None:
    (root / "eventing/ghost.yaml").write_text(trigger(name="ghost"))
    complaints = list(rules.eventing_files(root, rows(root)))
    assert any("ghost.yaml belongs to no operation" in complaint for complaint in complaints)
    assert any("move it to eventing/ship-it.yaml" in complaint for complaint in complaints)


def test_a_trigger_for_what_the_operation_does_not_receive_is_found(root: Path) -> None:
    (root / "eventing/ship-it.yaml").write_text(trigger("type: ecommerce.order.order.paid.v1"))
    complaints = list(rules.hearing(ship_it(root)))
    assert any("does not subscribe to ecommerce.order.order.paid.v1" in complaint for complaint in complaints)
    assert any(f"no Trigger delivers {CREATED}" in complaint for complaint in complaints)


def test_what_the_operation_receives_and_no_trigger_brings_is_found(root: Path) -> None:
    both = operation("ship_it", events=[on(OrderCreated, ship), on(OrderPaid, ship)]).operation  # type: ignore[arg-type]
    (complaint,) = rules.hearing(ship_it(root, both))
    assert "no Trigger delivers ecommerce.order.order.paid.v1 to ship_it" in complaint


def test_a_trigger_that_lets_everything_through_is_found(root: Path) -> None:
    (root / "eventing/ship-it.yaml").write_text(trigger('source: ""'))
    assert any("passes every type" in complaint for complaint in rules.hearing(ship_it(root)))


def test_a_filter_that_nothing_can_pass_is_found(root: Path) -> None:
    (root / "eventing/ship-it.yaml").write_text(trigger(f"type: {CREATED}, orderstatus: PENDING"))
    assert any("passes no event" in complaint for complaint in rules.hearing(ship_it(root)))


def test_a_misspelt_type_is_found(root: Path) -> None:
    (root / "eventing/ship-it.yaml").write_text(trigger("type: ecommerce.order.order.creatd.v1"))
    assert "no contract for ecommerce.order.order.creatd.v1" in next(rules.literal_types(root))


def test_a_tick_for_an_operation_that_takes_none_is_found(root: Path) -> None:
    (root / "eventing/ship-it.yaml").write_text(f"{trigger()}---{PING.replace('URI', '/ship-sweep')}")
    assert any("does not handle ticks" in complaint for complaint in rules.hearing(ship_it(root)))


def test_a_path_that_is_not_the_name_is_found(root: Path) -> None:
    (root / "eventing/ship-it.yaml").write_text(f"{trigger()}---{PING.replace('URI', '/ship-it')}")
    complaints = list(rules.paths(rows(root)))
    assert any("must be /ship-sweep" in complaint for complaint in complaints)
    assert any("give each its own uri" in complaint for complaint in complaints)


def test_an_emitted_message_without_a_contract_is_found(root: Path) -> None:
    class Nothing(Message, frozen=True, kw_only=True):
        TYPE = "ecommerce.nowhere.nothing.v1"

    says = operation("ship_it", events=[on(OrderCreated, ship)], emits=[Nothing]).operation
    complaints = list(rules.emitting(rows(root, says)))
    assert any("add its schema to contracts/" in complaint for complaint in complaints)
    assert any("add Nothing to MESSAGES" in complaint for complaint in complaints)


def test_a_filter_by_a_mark_is_shown_with_it(root: Path) -> None:
    (root / "eventing/ship-it.yaml").write_text(trigger(f"type: {CREATED}, orderstatus: pending"))
    (found,) = ship_it(root).triggers
    assert wanted(found, [CREATED]) == {CREATED: ("orderstatus pending",)}


def test_a_trigger_whose_dead_letters_do_not_say_that_they_are_its_own_is_refused(root: Path) -> None:
    (root / "eventing/ship-it.yaml").write_text(trigger().partition("  delivery:")[0])
    (complaint,) = rules.paths(rows(root))
    assert "give ship-it a delivery.deadLetterSink with uri: /ship-it" in complaint
