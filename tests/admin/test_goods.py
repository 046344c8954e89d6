"""admin.goods, which the kind overlay's Job runs: migrates, and loads the demo's goods into an empty catalogue."""

import psycopg
import pytest

from pulsecart.admin import goods
from pulsecart.admin.demo import GOODS


def products(database_url: str) -> int:
    with psycopg.connect(database_url) as connection:
        row = connection.execute("SELECT count(*) FROM products").fetchone()
    return int(row[0]) if row else 0


def test_an_empty_catalogue_gets_the_demos_goods_once(
    database_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIGRATION_DATABASE_URL", database_url)
    monkeypatch.delenv("DATABASE_URL", raising=False)
    assert goods.main() == 0
    assert "the demo's products are loaded" in capsys.readouterr().out
    assert goods.main() == 0
    assert "the catalogue already has products" in capsys.readouterr().out
    assert products(database_url) == len(GOODS)


def test_nothing_is_loaded_where_the_schema_cannot_be_migrated(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("MIGRATION_DATABASE_URL", "postgresql://shop@127.0.0.1:1/shop")
    assert goods.main() == 1
    captured = capsys.readouterr()
    assert "the database cannot be reached" in captured.err
    assert "products" not in captured.out
