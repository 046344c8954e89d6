"""The audit compares the gate with PostgreSQL, and distinguishes a difference from work in progress."""

from collections.abc import Iterator

import pytest
import redis

from pulsecart.admin.audit.audit import audit
from tests.audit.shop_books import ShopBooks, small_shop


@pytest.fixture
def shop(database_url: str) -> Iterator[ShopBooks]:
    books = small_shop(database_url)
    books.connection.execute("DELETE FROM outbox WHERE subject = %s", (books.orders["PENDING"],))
    books.connection.execute("DELETE FROM order_items WHERE order_id = %s", (books.orders["PENDING"],))
    books.connection.execute("DELETE FROM order_status_history WHERE order_id = %s", (books.orders["PENDING"],))
    books.connection.execute("DELETE FROM orders WHERE status = 'PENDING'")
    yield books
    books.connection.close()


@pytest.fixture
def gate(redis_url: str) -> Iterator[redis.Redis]:
    with redis.Redis.from_url(redis_url, decode_responses=True) as client:
        load(client, "1", 997)
        load(client, "P-2", 47)
        yield client


def load(client: redis.Redis, product: str, left: int, epoch: int = 0) -> None:
    client.hset(f"{{gate}}:p:{product}", mapping={"epoch": epoch, "left": left})
    client.sadd("{gate}:products", product)


def test_a_gate_that_agrees_is_clean(shop: ShopBooks, gate: redis.Redis, database_url: str, redis_url: str) -> None:
    report = audit(database_url, redis_url)
    assert report.clean, report.findings
    assert not report.unsettled
    assert report.gate is not None
    assert report.gate["1"].left == 997


@pytest.mark.parametrize(
    ("left", "epoch"), [(996, 0), (998, 0), (997, 1)], ids=["a unit lost", "a unit too many", "an older or newer gate"]
)
def test_a_gate_that_differs_is_found(
    shop: ShopBooks, gate: redis.Redis, database_url: str, redis_url: str, left: int, epoch: int
) -> None:
    load(gate, "1", left, epoch)
    (finding,) = audit(database_url, redis_url).findings
    assert finding.check == "gate"
    assert finding.rows[0]["product_id"] == "1"
    assert finding.rows[0]["gate_left"] == left


def test_a_gate_with_a_product_that_does_not_exist_is_found(
    shop: ShopBooks, gate: redis.Redis, database_url: str, redis_url: str
) -> None:
    load(gate, "ghost", 5)
    (finding,) = audit(database_url, redis_url).findings
    assert finding.rows[0]["product_id"] == "ghost"


def test_a_difference_while_a_claim_is_open_is_under_way(
    shop: ShopBooks, gate: redis.Redis, database_url: str, redis_url: str
) -> None:
    load(gate, "1", 996)
    gate.zadd("{gate}:z:1", {"claim": 1e12})
    report = audit(database_url, redis_url)
    assert report.clean
    assert report.unsettled.claims == {"1": 1}


def test_a_difference_while_an_event_is_under_way_is_not_judged_yet(
    shop: ShopBooks, gate: redis.Redis, database_url: str, redis_url: str
) -> None:
    shop.order("EXPIRED", "buyer-20")
    load(gate, "1", 996)
    assert audit(database_url, redis_url).clean
    shop.read_by("project-orders")
    assert not audit(database_url, redis_url).clean


def test_an_empty_gate_is_not_wrong_because_it_is_rebuilt_when_asked(
    shop: ShopBooks, database_url: str, redis_url: str
) -> None:
    assert audit(database_url, redis_url).clean


def test_a_gate_that_is_being_repaired_is_waited_for(
    shop: ShopBooks, gate: redis.Redis, database_url: str, redis_url: str
) -> None:
    load(gate, "1", 996)
    assert not audit(database_url, redis_url).clean
    assert audit(database_url, redis_url, settle_timeout_s=30, pause=lambda _: load(gate, "1", 997)).clean
