import shutil
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest

from pulsecart.local.servers import Stack
from pulsecart.runtime.db import migrate as migrations
from pulsecart.runtime.db.migrate import CannotMigrate, current, migrate, needed


def test_a_migrated_database_has_the_version_this_code_needs(database_url: str) -> None:
    assert current(database_url) == needed() > 0


def test_migrating_twice_applies_nothing_the_second_time(database_url: str) -> None:
    assert migrate(database_url) == []


def test_every_table_has_a_comment_that_explains_it(database_url: str) -> None:
    with psycopg.connect(database_url) as connection:
        found = connection.execute(
            """SELECT c.oid::regclass::text, obj_description(c.oid, 'pg_class') FROM pg_class AS c
               WHERE c.relkind IN ('r', 'p') AND NOT c.relispartition
                   AND c.relnamespace::regnamespace::text NOT IN ('pg_catalog', 'information_schema')"""
        ).fetchall()
    assert len(found) > 20
    assert not [table for table, comment in found if not comment]


def test_a_migration_that_fails_leaves_nothing_of_itself(
    database_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "9001_good.sql").write_text("CREATE TABLE good (x int);")
    (tmp_path / "9002_bad.sql").write_text("CREATE TABLE bad (x int); SELECT no_such_function();")
    monkeypatch.setattr(migrations, "MIGRATIONS", tmp_path)
    with pytest.raises(CannotMigrate, match="migration 9002_bad failed: function no_such_function"):
        migrate(database_url)
    assert current(database_url) == 9001
    with psycopg.connect(database_url) as connection:
        tables = connection.execute("SELECT to_regclass('good') IS NOT NULL, to_regclass('bad') IS NULL").fetchone()
    assert tables == (True, True)


def test_a_database_that_does_not_answer_is_said_in_a_sentence() -> None:
    with pytest.raises(CannotMigrate, match="the database cannot be reached"):
        migrate("postgresql://shop@127.0.0.1:1/shop")


def test_text_is_compared_alike_whatever_locale_the_database_has_and_its_owner_may_migrate_it(stack: Stack) -> None:
    texts = [
        "ÉCLAIR ΟΔΟΣ",
        "有机　绿茶",
        "می\u200cخواهم",
        "ไทยน้ำ",
        "हिन्दी",
        "a\u00a0b",
        "Straße",
        "x'y C++",
        "👟",
        "ÖL",
        "zoo",
    ]
    lexemes = "SELECT t, search_text(t), to_tsvector('all_words', search_text(t)) FROM unnest(%s::text[]) AS t"
    answers = []
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("DROP ROLE IF EXISTS plain")
        connection.execute("CREATE ROLE plain LOGIN")
        for locale in ("builtin BUILTIN_LOCALE 'C.UTF-8'", "libc LOCALE 'C'"):
            connection.execute(f"CREATE DATABASE of_plain OWNER plain TEMPLATE template0 LOCALE_PROVIDER {locale}")
            url = stack.database_url.replace("shop@/shop?", "plain@/of_plain?")
            migrate(url)
            with psycopg.connect(url) as owner:
                found = owner.execute(lexemes + " ORDER BY lower(t COLLATE pg_c_utf8)", (texts,)).fetchall()
                answers.append(found)
            connection.execute("DROP DATABASE of_plain")
        connection.execute("DROP ROLE plain")
    assert answers[0] == answers[1]
    assert [text for text, *_ in answers[0]] == sorted(texts, key=str.lower)


@pytest.fixture
def migrated_to(stack: Stack, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[[int], str]:
    """Provide a function that makes a database as an earlier version of this code left it."""
    url = stack.database_url.replace("@/shop?", "@/of_old?")
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("DROP DATABASE IF EXISTS of_old")
        connection.execute("CREATE DATABASE of_old")

    def to(version: int) -> str:
        for file in migrations.MIGRATIONS.glob("*.sql"):
            if int(file.name[:4]) <= version:
                shutil.copy(file, tmp_path)
        with monkeypatch.context() as patch:
            patch.setattr(migrations, "MIGRATIONS", tmp_path)
            migrate(url)
        return url

    return to


def test_amounts_kept_with_the_wrong_number_of_digits_keep_their_worth(migrated_to: Callable[[int], str]) -> None:
    url = migrated_to(9)
    minor = {"VND": 25_000_000, "JOD": 112, "CLF": 3700, "USD": 4990, "JPY": 500, "KWD": 1234, "ZZZ": 77}
    with psycopg.connect(url) as connection:
        for currency, price in minor.items():
            connection.execute(
                "INSERT INTO products (product_id, sku, name, price_minor, currency) VALUES (%s, %s, '-', %s, %s)",
                (currency, currency, price, currency),
            )
    migrate(url)
    with psycopg.connect(url, autocommit=True) as connection:
        found: dict[str, int] = dict(connection.execute("SELECT currency, price_minor FROM products").fetchall())
        assert found == minor | {"VND": 250_000, "JOD": 1120, "CLF": 370_000}
        connection.execute("UPDATE products SET deleted_at = now() WHERE currency = 'ZZZ'")
