"""Two roles: migrations own the schema; operations read and write rows, and cannot change it."""

from collections.abc import Callable, Iterator
from pathlib import Path

import httpx
import psycopg
import pytest

from pulsecart.local.servers import Stack
from pulsecart.runtime.db import migrate as migrations
from pulsecart.runtime.db.migrate import CannotMigrate, migrate, needed
from tests.local.running_shop import RunningShop

DDL = (
    "CREATE TABLE mine (x int)",
    "CREATE TABLE simulated_gateway.mine (x int)",
    "CREATE SCHEMA mine",
    "CREATE EXTENSION pg_trgm",
    "CREATE FUNCTION mine() RETURNS int LANGUAGE sql AS 'SELECT 1'",
    "CREATE ROLE mine SUPERUSER",
    "ALTER TABLE stock DROP CONSTRAINT stock_available_check",
    "ALTER TABLE orders ADD COLUMN mine int",
    "ALTER ROLE shop_operations SUPERUSER",
    "CREATE INDEX mine ON orders (status)",
    "CREATE TRIGGER mine BEFORE INSERT ON orders FOR EACH ROW EXECUTE FUNCTION suppress_redundant_updates_trigger()",
    "DROP TABLE orders_by_customer",
    "DROP INDEX orders_due",
    "TRUNCATE outbox CASCADE",
    "INSERT INTO schema_migrations (version, name) VALUES (9999, 'made up')",
    "DELETE FROM schema_migrations",
    "COPY orders TO PROGRAM 'cat'",
    "SET ROLE shop",
)


def refused(url: str, statement: str) -> bool:
    try:
        with psycopg.connect(url, autocommit=True) as connection:
            connection.execute(statement.encode())
    except (psycopg.errors.InsufficientPrivilege, psycopg.errors.InvalidSchemaName):
        return True
    return False


@pytest.mark.parametrize("statement", DDL)
def test_the_operations_role_cannot_change_the_schema(operations_url: str, statement: str) -> None:
    assert refused(operations_url, statement)


def test_it_reads_and_writes_every_table_that_a_migration_made(operations_url: str, database_url: str) -> None:
    with psycopg.connect(database_url) as owner:
        tables = owner.execute(
            "SELECT schemaname, tablename FROM pg_tables WHERE schemaname IN ('public', 'simulated_gateway')"
        ).fetchall()
    assert len(tables) > 20
    with psycopg.connect(operations_url, autocommit=True) as connection:
        for schema, name in tables:
            if name == "schema_migrations":
                continue
            for right in ("SELECT", "INSERT", "UPDATE", "DELETE"):
                asked = connection.execute("SELECT has_table_privilege(%s, %s)", (f"{schema}.{name}", right))
                assert asked.fetchone() == (True,), (name, right)


def test_a_table_of_the_next_migration_is_granted_by_the_run_that_makes_it(
    database_url: str, operations_url: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    made = "CREATE TABLE later (n bigint GENERATED ALWAYS AS IDENTITY, s serial); CREATE SCHEMA more; "
    made += "CREATE TABLE more.t (x int)"
    (tmp_path / "9001_later.sql").write_text(made)
    monkeypatch.setattr(migrations, "MIGRATIONS", tmp_path)
    assert migrate(database_url, operations_url) == ["9001_later"]
    with psycopg.connect(operations_url, autocommit=True) as connection:
        connection.execute("INSERT INTO later DEFAULT VALUES")
        connection.execute("INSERT INTO more.t VALUES (1)")
    assert refused(operations_url, "DROP TABLE later")


@pytest.fixture
def owner_url(stack: Stack, database_url: str) -> Iterator[str]:
    """Provide a database whose owner is no superuser, as on other machines than a laptop."""
    name = database_url.partition("@/")[2].partition("?")[0]
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE an_owner LOGIN")
        connection.execute("CREATE DATABASE owned OWNER an_owner")
    yield database_url.replace("//shop@", "//an_owner@").replace(f"/{name}?", "/owned?")
    with psycopg.connect(stack.database_url, autocommit=True) as connection:
        for statement in ("DROP DATABASE owned WITH (FORCE)", "DROP ROLE an_owner"):
            connection.execute(statement.encode())


def test_an_owner_that_is_no_superuser_makes_the_schema_with_its_extensions_and_grants_it(
    owner_url: str, operations_url: str
) -> None:
    operations = owner_url.replace("an_owner@", "shop_operations@")
    assert len(migrate(owner_url, operations)) == len(migrations.known())
    assert migrate(owner_url, operations) == []
    assert migrations.current(operations) == needed()
    assert refused(operations, "CREATE TABLE mine (x int)")


def test_a_role_that_is_missing_and_cannot_be_made_is_said_with_what_to_do(owner_url: str) -> None:
    with pytest.raises(CannotMigrate, match=r'an_owner may not create it.*CREATE ROLE "nobody_yet" LOGIN'):
        migrate(owner_url, owner_url.replace("an_owner@", "nobody_yet@"))


def test_a_role_that_could_change_the_schema_all_the_same_is_warned_of(
    database_url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with psycopg.connect(database_url, autocommit=True) as connection:
        connection.execute("CREATE ROLE too_much SUPERUSER LOGIN")
        try:
            migrate(database_url, database_url.replace("//shop@", "//too_much@"))
            assert "too_much can change the schema" in capsys.readouterr().err
        finally:
            connection.execute("DROP OWNED BY too_much")
            connection.execute("DROP ROLE too_much")


def test_one_role_for_both_stays_possible(database_url: str) -> None:
    assert migrate(database_url, database_url) == []
    assert migrate(database_url) == []


def test_the_embedded_shop_s_operations_have_the_lesser_role(start_shop: Callable[..., RunningShop]) -> None:
    shop = start_shop()
    with psycopg.connect(shop.database_url) as connection:
        users = connection.execute(
            "SELECT DISTINCT usename FROM pg_stat_activity WHERE application_name LIKE 'pulsecart%'"
        ).fetchall()
    assert users == [("shop_operations",)]
    bought = httpx.post(f"{shop.url}/api/v1/sync/purchase", json={"productId": "1", "quantity": 1, "userId": "7"})
    assert bought.status_code == 200, bought.text
