"""The audit judges every rule that it can, whatever the tables, the log, the dead letters and the gate hold."""

import json
from collections.abc import Iterator
from typing import Any

import psycopg
import pytest
import redis

from pulsecart.admin.audit.__main__ import main
from pulsecart.admin.audit.audit import audit
from pulsecart.shop.audit.db import questions as books_of
from pulsecart.shop.audit.db.questions import Check
from pulsecart.shop.audit.verdict import Report
from tests.audit.plants import CREATED, PAID, STOCK
from tests.audit.shop_books import ShopBooks, small_shop

NUL = '{"a": "\\u0000"}'
LONE = '{"a": "\\ud800"}'
LETTER = "INSERT INTO dead_letters (trigger, event_id, source, type, event) VALUES ('pay', 'e', '/x', 't', %s)"
EVENT = """
    INSERT INTO outbox (id, source, type, partitionkey, extensions, data)
    VALUES ('odd', '/pulsecart/odd', %s, 'k', %s, %s)
"""
DATA = {
    "not JSON": b"{",
    "not UTF-8": b'{"a": "\xff"}',
    "a NUL byte": b"\0",
    "an escaped NUL": NUL.encode(),
    "half a surrogate pair": LONE.encode(),
    "nested too deep": b"[" * 20_000 + b"]" * 20_000,
    "a list": b"[1]",
    "a number": b"7",
    "nothing": None,
    "words for numbers": b'{"delta": "many", "available": [], "totalAmount": {}, "amount": "1e9", "currency": 7}',
    "numbers without end": b'{"delta": 1e400, "available": -1e400, "totalAmount": 1e400, "amount": 1e-400}',
    "no numbers": b'{"delta": "NaN", "available": "Infinity", "totalAmount": "NaN", "amount": "-Infinity"}',
    "more than a bigint": b'{"delta": 9223372036854775807000, "available": 9223372036854775807, "amount": 1e30}',
}
EXTENSIONS = [
    "{}",
    "[]",
    "null",
    NUL,
    LONE,
    '{"sequence": "99999999999999999999"}',
    '{"sequence": "\u0665"}',
    '{"sequence": [1]}',
    '{"sequence": "-1"}',
]
REFUNDED = "ecommerce.payment.payment.refunded.v1"


@pytest.fixture
def shop(database_url: str) -> Iterator[ShopBooks]:
    books = small_shop(database_url)
    yield books
    books.connection.close()


def judged(database_url: str) -> Report:
    report = audit(database_url)
    assert [(one.check, one.reason) for one in report.unchecked] == []
    return report


@pytest.mark.parametrize("event", [NUL, LONE, "[]", "null", '{"partitionkey": 7}'])
def test_a_dead_letter_with_an_odd_character_ends_nothing(shop: ShopBooks, database_url: str, event: str) -> None:
    shop.connection.execute("UPDATE buyer_units SET units = 2 WHERE buyer_id = 'buyer-1'")
    shop.connection.execute(LETTER, (event,))
    shop.order("PENDING", "buyer-10", age_s=600)
    shop.read_by("project-orders")
    report = judged(database_url)
    assert {"buyer-units", "endings"} <= {finding.check for finding in report.findings}
    assert [row["waiting"] for row in report.books.dead_letters] == [1]


@pytest.mark.parametrize("data", DATA.values(), ids=DATA.keys())
def test_no_rule_stumbles_over_what_an_event_holds(shop: ShopBooks, database_url: str, data: bytes | None) -> None:
    for type in (STOCK, PAID, CREATED, REFUNDED):
        shop.connection.execute(EVENT, (type, '{"sequence": "1"}', data))
    shop.read_by("project-orders")
    found = {finding.check for finding in judged(database_url).findings}
    assert {"stock-history", "stock-steps", "order-history", "refunds"} <= found


def test_no_rule_stumbles_over_an_event_s_attributes(shop: ShopBooks, database_url: str) -> None:
    for type in (STOCK, PAID, CREATED, REFUNDED):
        for extensions in EXTENSIONS:
            shop.connection.execute(EVENT, (type, extensions, b"{}"))
    shop.read_by("project-orders")
    assert not judged(database_url).clean


def test_no_rule_stumbles_over_a_stored_reply_or_a_number_near_its_end(shop: ShopBooks, database_url: str) -> None:
    shop.connection.execute("UPDATE idempotency_keys SET body = %s", (NUL,))
    shop.connection.execute("UPDATE order_items SET price_minor = 9223372036854775807, qty = 2147483647")
    shop.connection.execute("UPDATE orders SET version = 9223372036854775806, total_minor = 9223372036854775807")
    assert {"idempotency", "order-total", "order-history"} <= {f.check for f in judged(database_url).findings}


BROKEN = Check("broken", "a rule that cannot be asked holds", "SELECT 1 / (count(*) - count(*)) AS x FROM orders")
UNREADABLE = Check("year", "a moment can be read", "SELECT 1 AS a, repeat('9', 5000)::numeric AS x")


@pytest.mark.parametrize("bad", [BROKEN, UNREADABLE, BROKEN._replace(select="SELECT nothing FROM nowhere")])
def test_a_rule_that_cannot_be_asked_is_named_with_its_reason_and_the_others_are_judged(
    shop: ShopBooks,
    database_url: str,
    bad: Check,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    rules = (*books_of.checks(), bad)
    monkeypatch.setattr(books_of, "checks", lambda: rules)
    assert main(["--database-url", database_url]) == 2
    clean = capsys.readouterr().out
    assert f"? {bad.name}: could not be checked: {bad.holds}" in " ".join(clean.split())
    assert "Not known" in clean

    shop.connection.execute("UPDATE buyer_units SET units = 2 WHERE buyer_id = 'buyer-1'")
    assert main(["--database-url", database_url, "--json"]) == 2
    report = json.loads(capsys.readouterr().out)
    assert [finding["check"] for finding in report["findings"]] == ["buyer-units"]
    (unchecked,) = report["unasked"]
    assert (unchecked["check"], unchecked["holds"], report["clean"]) == (bad.name, bad.holds, False)
    assert unchecked["reason"]
    assert report["products"][0]["left"] == 997
    assert main(["--database-url", database_url]) == 2
    assert "Not clean: buyer-units; could not be checked: " + bad.name in " ".join(capsys.readouterr().out.split())


def test_a_table_that_this_database_lacks_leaves_the_rules_that_need_no_such_table(
    shop: ShopBooks, database_url: str
) -> None:
    shop.connection.execute("ALTER TABLE dead_letters RENAME TO somewhere_else")
    report = audit(database_url)
    assert {one.check for one in report.unchecked} >= {"endings", "dead-letters"}
    assert not {one.check for one in report.unchecked} & {"units", "stock-steps", "buyer-limit"}


def test_without_redis_the_books_are_judged_and_the_gate_is_named(
    shop: ShopBooks, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.connection.execute("UPDATE buyer_units SET units = 2 WHERE buyer_id = 'buyer-1'")
    away = ["--database-url", database_url, "--redis-url", "redis://127.0.0.1:1"]
    for wait in ([], ["--settle-timeout", "0.01"]):
        assert main([*away, *wait, "--json"]) == 2
        report: dict[str, Any] = json.loads(capsys.readouterr().out)
        assert "buyer-units" in [finding["check"] for finding in report["findings"]]
        assert [one["check"] for one in report["unasked"]] == ["gate"]
        assert "Redis cannot be reached" in report["unasked"][0]["reason"]


def test_a_product_that_the_gate_holds_unreadably_is_named_and_the_others_are_compared(
    shop: ShopBooks, database_url: str, redis_url: str
) -> None:
    shop.connection.execute("DELETE FROM order_items WHERE order_id = %s", (shop.orders["PENDING"],))
    for table in ("order_status_history", "orders"):
        statement = f"DELETE FROM {table} WHERE order_id = %s"
        shop.connection.execute(statement.encode(), (shop.orders["PENDING"],))
    shop.connection.execute("DELETE FROM outbox WHERE partitionkey = %s", (shop.orders["PENDING"],))
    with redis.Redis.from_url(redis_url) as client:
        client.sadd("{gate}:products", "1", "P-2", b"\xff", "list")
        client.hset("{gate}:p:1", mapping={"epoch": 0, "left": "many"})
        client.hset("{gate}:p:P-2", mapping={"epoch": 0, "left": 46})
        client.lpush("{gate}:p:list", "x")
    report = audit(database_url, redis_url)
    assert [one.check for one in report.unchecked] == ["gate", "gate"]
    assert "many" in report.unchecked[0].reason
    (finding,) = report.findings
    assert [row["product_id"] for row in finding.rows] == ["P-2"]


def test_a_connection_that_is_lost_meanwhile_is_said_as_such(
    shop: ShopBooks, database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def ended(connection: psycopg.Connection[Any], **_: Any) -> list[Any]:
        shop.connection.execute("SELECT pg_terminate_backend(%s)", (connection.info.backend_pid,))
        return connection.execute("SELECT 1").fetchall()

    monkeypatch.setattr(books_of, "_broken", ended)
    assert main(["--database-url", database_url]) == 2
    assert capsys.readouterr().err.startswith("audit: the database cannot be reached")
