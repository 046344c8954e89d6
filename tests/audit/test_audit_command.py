"""scripts/audit prints its result for a terminal and for programs."""

import json
from collections.abc import Iterator

import pytest

from pulsecart.admin.audit.__main__ import main
from tests.audit.shop_books import ShopBooks, small_shop


@pytest.fixture
def shop(database_url: str) -> Iterator[ShopBooks]:
    books = small_shop(database_url)
    yield books
    books.connection.close()


def test_a_clean_shop_answers_0_and_shows_its_units(
    shop: ShopBooks, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["--database-url", database_url]) == 0
    out = capsys.readouterr().out
    assert "1,000" in out
    assert "997" in out
    assert "Clean so far" in out


def test_a_wrong_one_answers_1_and_shows_the_row(
    shop: ShopBooks, database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    shop.connection.execute("UPDATE buyer_units SET units = 2 WHERE buyer_id = 'buyer-1'")
    assert main(["--database-url", database_url]) == 1
    out = capsys.readouterr().out
    assert "buyer-units" in out
    assert "buyer-1" in out
    assert "Not clean" in out


def test_machines_read_one_json_object(shop: ShopBooks, database_url: str, capsys: pytest.CaptureFixture[str]) -> None:
    shop.connection.execute("UPDATE orders SET pay_by = NULL WHERE status = 'CONFIRMED'")
    assert main(["--database-url", database_url, "--json"]) == 1
    report = json.loads(capsys.readouterr().out)
    assert report["clean"] is False
    assert report["products"][0] == {
        "productId": "1", "initial": 1000, "left": 997, "held": 1, "sold": 2, "buyerLimit": 2, "epoch": 0, "gate": None
    }  # fmt: skip
    assert report["findings"][0]["check"] == "endings"
    assert report["findings"][0]["rows"][0]["order_id"] == shop.orders["CONFIRMED"]


def test_the_environment_names_the_database(
    shop: ShopBooks, database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DATABASE_URL", database_url)
    monkeypatch.delenv("REDIS_URL", raising=False)
    assert main(["--json"]) == 0


def test_a_database_that_is_away_answers_2_with_a_sentence(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--database-url", "postgresql://127.0.0.1:1/none"]) == 2
    assert capsys.readouterr().err.startswith("audit: the database cannot be reached")


def test_a_database_without_a_shop_answers_2_with_a_sentence(migrated: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--database-url", migrated]) == 2
    assert "not a shop's" in capsys.readouterr().err
