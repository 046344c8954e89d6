from pathlib import Path

import psycopg
import pytest

from shop.db import migrate as migrations
from shop.db.migrate import CannotMigrate, current, migrate, needed


def test_a_migrated_database_has_the_version_this_code_needs(database_url: str) -> None:
    assert current(database_url) == needed() > 0


def test_migrating_twice_applies_nothing_the_second_time(database_url: str) -> None:
    assert migrate(database_url) == []


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
