"""Compares the events in the outbox with their contracts, after every test that uses a database."""

from collections.abc import Iterator
from datetime import datetime
from functools import cache
from typing import Any, NamedTuple

import msgspec
import psycopg
import pytest
from jsonschema_rs import Draft202012Validator

from pulsecart.processes import registry
from pulsecart.runtime.contracts import CONTRACTS_DIR, validate
from pulsecart.runtime.event import CloudEvent, rfc3339
from pulsecart.runtime.problem import Malformed

# An order's events and those about its money are numbered in one; every other context numbers its own.
AGGREGATES = {"ecommerce.payment": "ecommerce.order"}
# Events that came in from outside are judged at the ingress; a test may write a broken one on purpose.
OURS = "/pulsecart/"
# One till writes what all of them ring up, under checkout's name.
TOGETHER = {"checkout": ("checkout", "reserve", "carts")}


class Written(NamedTuple):
    """One row of the outbox."""

    id: str
    source: str
    type: str
    subject: str | None
    time: datetime | None
    dataschema: str | None
    datacontenttype: str
    partitionkey: str
    extensions: dict[str, str]
    data: bytes | None


def assert_outbox_is_contractual(database_url: str) -> None:
    """
    Check each of our events in table ``outbox``: its envelope is complete, its data is valid by its schema, its id is
    unique, its operation's ``emits`` lists it, and no other event has its sequence in the aggregate's history.
    """
    rows = _read(database_url)
    complaints = [
        *(c for row in rows for c in _broken(row)),
        *_unnamed(rows),
        *_repeated_ids(rows),
        *_two_histories(rows),
    ]
    assert not complaints, "the outbox breaks its contracts:\n" + "\n".join(complaints[:20])


@pytest.fixture(autouse=True)
def _contractual_outbox(request: pytest.FixtureRequest) -> Iterator[None]:
    # Asked for before the test, so that the database is still there after it.
    url = request.getfixturevalue("database_url") if "database_url" in request.fixturenames else None
    yield
    if url is not None:
        assert_outbox_is_contractual(str(url))


def _read(database_url: str) -> list[Written]:
    with psycopg.connect(database_url) as connection:
        there = connection.execute("SELECT to_regclass('outbox') IS NOT NULL").fetchone()
        if there is None or not there[0]:
            return []
        found = connection.execute(
            "SELECT id, source, type, subject, time, dataschema, datacontenttype, partitionkey, extensions, data"
            " FROM outbox WHERE starts_with(source, %s) ORDER BY position",
            (OURS,),
        )
        return [Written(*row) for row in found]


def _broken(row: Written) -> Iterator[str]:
    try:
        validate(_event(row))
    except Malformed as problem:
        yield problem.detail
        return
    for error in _envelope().iter_errors(_structured(row)):
        yield f"{row.type} {row.id}: envelope: {'/'.join(map(str, error.instance_path))} {error.message}"


def _unnamed(rows: list[Written]) -> Iterator[str]:
    emitted = sorted({(row.source.removeprefix(OURS), row.type) for row in rows})
    for name, event_type in emitted:
        if name in registry.names():
            named = {m.TYPE for each in TOGETHER.get(name, (name,)) for m in registry.load(each).emits}
            if event_type not in named:
                yield f"functions/{name}/main.py emits {event_type}: name it in emits=[…]"


def _repeated_ids(rows: list[Written]) -> Iterator[str]:
    seen: set[str] = set()
    for row in rows:
        if row.id in seen:
            yield f"{row.type} {row.id}: the id stands in the outbox twice"
        seen.add(row.id)


def _two_histories(rows: list[Written]) -> Iterator[str]:
    first: dict[tuple[str, str, str], Written] = {}
    for row in rows:
        context = row.type.rsplit(".", 3)[0]
        place = (AGGREGATES.get(context, context), row.partitionkey, row.extensions.get("sequence", ""))
        other = first.setdefault(place, row)
        if (other.type, other.data) != (row.type, row.data):
            yield f"{context} {row.partitionkey}: sequence {place[2]} is both {other.type} and {row.type}: {row.data!r}"


def _event(row: Written) -> CloudEvent:
    return CloudEvent(
        id=row.id,
        source=row.source,
        type=row.type,
        time=row.time,
        subject=row.subject,
        dataschema=row.dataschema,
        datacontenttype=row.datacontenttype,
        data=row.data,
        extensions={"partitionkey": row.partitionkey, **row.extensions},
    )


def _structured(row: Written) -> dict[str, Any]:
    """Return the event in CloudEvents' JSON format."""
    event = _event(row)
    data = {"data": msgspec.json.decode(row.data)} if row.data else {}
    return {**event.attributes(), **({"time": rfc3339(event.time)} if event.time else {}), **data}


@cache
def _envelope() -> Draft202012Validator:
    document = msgspec.json.decode((CONTRACTS_DIR / "envelope.v1.json").read_bytes())
    return Draft202012Validator(document, validate_formats=True)
