"""The check of the outbox, which runs after every test, detects each violation of a contract."""

import json
from collections.abc import Callable
from typing import Any

import psycopg
import pytest

from pulsecart.runtime.contracts import schema
from pulsecart.runtime.event import new_id, padded, schema_of
from tests.contracts.emitted import assert_outbox_is_contractual

CREATED, PAID = "ecommerce.order.order.created.v1", "ecommerce.order.order.paid.v1"
Write = Callable[..., None]


@pytest.fixture
def write(database_url: str) -> Write:
    """Provide a function that appends a valid event to the outbox, with the given columns changed."""

    def append(like: str = CREATED, **changes: Any) -> None:
        row = {
            "id": new_id(),
            "source": "/pulsecart/checkout",
            "type": like,
            "subject": "o-1",
            "time": "2026-11-27T08:00:00Z",
            "dataschema": schema_of(like),
            "partitionkey": "o-1",
            "extensions": json.dumps({"sequence": padded(1)}),
            "data": json.dumps(schema(like)["examples"][0]).encode(),
        } | changes
        with psycopg.connect(database_url) as connection:
            marks = ", ".join(["%s"] * len(row))
            connection.execute(f"INSERT INTO outbox ({', '.join(row)}) VALUES ({marks})".encode(), list(row.values()))

    return append


def test_a_good_event_passes(write: Write, database_url: str) -> None:
    write()
    write(PAID, source="/pulsecart/pay", extensions=json.dumps({"sequence": padded(2)}))
    assert_outbox_is_contractual(database_url)


@pytest.mark.parametrize(
    "changes",
    [
        {"data": b"{}"},
        {"data": None},
        {"type": "ecommerce.order.order.invented.v1"},
        {"dataschema": None},
        {"subject": None},
        {"time": None},
        {"id": "1"},
        {"extensions": "{}"},
        {"extensions": json.dumps({"sequence": "1"})},
        {"extensions": json.dumps({"sequence": padded(1), "traceparent": "made up"})},
        {"extensions": json.dumps({"sequence": padded(1), "orderstatus": "PENDING"})},
    ],
    ids=str,
)
def test_an_event_that_breaks_its_contract_or_the_envelope_is_noticed(
    write: Write, database_url: str, changes: dict[str, Any]
) -> None:
    write(**changes)
    with pytest.raises(AssertionError, match="breaks its contracts"):
        assert_outbox_is_contractual(database_url)


def test_two_events_in_one_place_of_a_history_are_noticed(write: Write, database_url: str) -> None:
    write()
    write(PAID)
    with pytest.raises(AssertionError, match="is both"):
        assert_outbox_is_contractual(database_url)


def test_an_order_and_its_money_have_one_history(write: Write, database_url: str) -> None:
    write()
    write("ecommerce.payment.payment.failed.v1")
    with pytest.raises(AssertionError, match="is both"):
        assert_outbox_is_contractual(database_url)


def test_one_id_twice_is_noticed(write: Write, database_url: str) -> None:
    same = new_id()
    write(id=same)
    write(id=same, partitionkey="o-2")
    with pytest.raises(AssertionError, match="twice"):
        assert_outbox_is_contractual(database_url)


def test_an_event_that_its_operation_does_not_name_is_noticed(write: Write, database_url: str) -> None:
    write(source="/pulsecart/fulfil")
    with pytest.raises(AssertionError, match=r"functions/fulfil/main.py emits ecommerce.order.order.created.v1"):
        assert_outbox_is_contractual(database_url)


def test_what_came_from_outside_is_the_ingress_s_to_judge(write: Write, database_url: str) -> None:
    write(source="/somebody/else", data=b"{}")
    assert_outbox_is_contractual(database_url)
