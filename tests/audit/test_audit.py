"""The audit finds every kind of error; each is inserted alone into the tables of a shop without errors."""

import time
from collections.abc import Iterator

import psycopg
import pytest

from pulsecart.admin.audit.audit import audit
from pulsecart.shop.audit.db.questions import ROWS_MAX, checks
from pulsecart.shop.audit.verdict import Finding
from tests.audit.plants import CREATED, PAID, PLANTS, STOCK
from tests.audit.shop_books import ShopBooks, small_shop


@pytest.fixture
def shop(database_url: str) -> Iterator[ShopBooks]:
    books = small_shop(database_url)
    yield books
    books.connection.close()


def found(database_url: str, **options: float) -> dict[str, Finding]:
    return {finding.check: finding for finding in audit(database_url, **options).findings}  # type: ignore[arg-type]


def test_a_shop_where_nothing_is_wrong_is_clean(shop: ShopBooks, database_url: str) -> None:
    report = audit(database_url)
    assert [(f.check, f.rows) for f in report.findings] == []
    (flash, other) = report.books.products
    assert (flash.product_id, flash.initial, flash.left, flash.held, flash.sold) == ("1", 1000, 997, 1, 2)
    assert (other.product_id, other.initial, other.left, other.held, other.sold) == ("P-2", 50, 47, 0, 3)
    assert report.unsettled.pending == 1


def test_an_empty_shop_is_clean(database_url: str) -> None:
    report = audit(database_url)
    assert report.clean
    assert not report.unsettled


@pytest.mark.parametrize(("check", "sql"), [(c, s) for c, _, s in PLANTS], ids=[f"{c}: {w}" for c, w, _ in PLANTS])
def test_what_is_wrong_is_found(shop: ShopBooks, database_url: str, check: str, sql: str) -> None:
    shop.connection.execute(sql.format(**shop.orders, created=CREATED, paid=PAID, stock=STOCK).encode())
    shop.read_by("project-orders")
    finding = found(database_url).get(check)
    assert finding is not None, f"{check} does not see it"
    assert finding.total == len(finding.rows) > 0


def test_every_check_has_a_wrong_that_it_finds() -> None:
    assert {check for check, _, _ in PLANTS} == {check.name for check in checks()}


def test_every_check_says_what_must_hold() -> None:
    assert [check.name for check in checks() if len(check.holds) < 20] == []


def test_of_many_rows_the_first_are_shown_and_all_are_counted(shop: ShopBooks, database_url: str) -> None:
    shop.connection.execute(
        "INSERT INTO claims (claim_id, state) SELECT gen_random_uuid(), 'won' FROM generate_series(1, 100)"
    )
    finding = found(database_url)["claims"]
    assert (finding.total, len(finding.rows)) == (100, ROWS_MAX)


def test_an_order_with_an_event_still_to_be_delivered_has_not_been_forgotten(
    shop: ShopBooks, database_url: str
) -> None:
    shop.connection.execute("DELETE FROM trigger_cursors")
    shop.read_by("reserve")
    order_id = shop.order("PENDING", "buyer-10", age_s=600)
    report = audit(database_url)
    assert report.clean, report.findings
    assert report.unsettled.events == {"reserve": 1}
    shop.read_by("reserve")
    assert found(database_url)["endings"].rows[0]["order_id"] == order_id


def test_an_order_whose_event_is_tried_again_has_not_been_forgotten(shop: ShopBooks, database_url: str) -> None:
    order_id = shop.order("PENDING", "buyer-10", age_s=600)
    shop.read_by("project-orders")
    shop.connection.execute(
        "INSERT INTO trigger_backlog (trigger, position, partitionkey, due_at)"
        " SELECT 'reserve', position, partitionkey, now() FROM outbox WHERE partitionkey = %s",
        (order_id,),
    )
    assert audit(database_url).clean
    shop.read_by("reserve")
    assert audit(database_url).unsettled.events == {"reserve": 1}


def test_a_refund_that_is_still_to_be_made_is_not_money_kept(shop: ShopBooks, database_url: str) -> None:
    order_id = shop.orders["RETURNED"]
    shop.connection.execute("UPDATE payments SET status = 'CHARGED' WHERE order_id = %s", (order_id,))
    shop.connection.execute("DELETE FROM outbox WHERE type = 'ecommerce.payment.payment.refunded.v1'")
    shop.connection.execute("UPDATE orders SET version = version - 1 WHERE order_id = %s", (order_id,))
    shop.connection.execute("DELETE FROM order_status_history WHERE order_id = %s AND sequence = 5", (order_id,))
    shop.number("ecommerce.payment.refund.requested.v1", order_id)
    assert "payments" not in found(database_url)
    shop.read_by("project-orders")
    assert "payments" in found(database_url)


def test_a_forgotten_order_names_the_trigger_that_gave_up(shop: ShopBooks, database_url: str) -> None:
    order_id = shop.order("PENDING", "buyer-10", age_s=600)
    shop.read_by("project-orders")
    shop.connection.execute(
        "INSERT INTO dead_letters (trigger, event_id, source, type, event, error_code)"
        " VALUES ('reserve', 'e', '/pulsecart/checkout', %s, json_build_object('partitionkey', %s::text), 500)",
        (CREATED, order_id),
    )
    report = audit(database_url)
    assert report.findings[0].rows[0]["dead_letter_of"] == "reserve"
    assert [(row["trigger"], row["total"], row["waiting"]) for row in report.books.dead_letters] == [("reserve", 1, 1)]


def test_a_paid_order_that_waits_for_its_partner_has_not_been_forgotten(shop: ShopBooks, database_url: str) -> None:
    order_id = shop.order("PAID", "buyer-10", age_s=600)
    shop.read_by("project-orders")
    assert [row["order_id"] for row in found(database_url)["endings"].rows] == [order_id]
    shop.connection.execute("INSERT INTO partner_products VALUES ('1', 'acme', now())")
    assert "endings" not in found(database_url)
    shop.connection.execute(
        "INSERT INTO order_items (order_id, line, product_id, qty, price_minor) VALUES (%s, 2, '2', 1, 0)", (order_id,)
    )
    assert "endings" in found(database_url), "the shop itself ships a mixed order"


def test_the_grace_is_how_long_an_order_may_rest(shop: ShopBooks, database_url: str) -> None:
    shop.order("PENDING", "buyer-10", age_s=60)
    shop.read_by("project-orders")
    assert "endings" in found(database_url, grace_s=30)
    assert "endings" not in found(database_url, grace_s=90)


def test_what_never_settles_is_found_when_it_was_waited_for(shop: ShopBooks, database_url: str) -> None:
    waits: list[float] = []

    def pause(seconds: float) -> None:
        waits.append(seconds)
        time.sleep(seconds)

    report = audit(database_url, settle_timeout_s=1.0, pause=pause)
    assert [finding.check for finding in report.findings] == ["settled"]
    assert waits


def test_the_verdict_waits_until_what_is_under_way_has_ended(shop: ShopBooks, database_url: str) -> None:
    order_id = shop.orders["PENDING"]

    def meanwhile(_: float) -> None:
        shop.connection.execute(
            "UPDATE orders SET status = 'CANCELED', version = 2 WHERE order_id = %s AND status = 'PENDING'", (order_id,)
        )
        shop.say("ecommerce.order.order.canceled.v1", order_id, 2, {})
        shop.connection.execute(
            "INSERT INTO order_status_history (order_id, sequence, status, happened_at, actor)"
            " VALUES (%s, 2, 'CANCELED', now(), 'operation:test') ON CONFLICT DO NOTHING",
            (order_id,),
        )
        shop.read_by("project-orders")

    report = audit(database_url, settle_timeout_s=30, pause=meanwhile)
    assert report.clean
    assert not report.unsettled


def test_all_is_read_in_one_moment_and_nothing_is_written(shop: ShopBooks, database_url: str) -> None:
    from pulsecart.shop.audit.db.questions import read, snapshot

    with snapshot(database_url) as connection:
        before = read(connection, grace_s=10)
        shop.connection.execute("DELETE FROM payments")
        after = read(connection, grace_s=10)
        assert (before.findings, before.products) == (after.findings, after.products)
        with pytest.raises(psycopg.errors.ReadOnlySqlTransaction):
            connection.execute("DELETE FROM claims")
