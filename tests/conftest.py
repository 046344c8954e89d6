"""Provides real PostgreSQL and Valkey: started once; each test has a fresh database and an empty Redis."""

import os
import shutil
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Callable, Generator, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TypeVar

import psycopg
import pytest
import redis
import uvicorn.server
from psycopg import sql

from pulsecart.admin.demo import GOODS, SALE
from pulsecart.admin.seed import load_catalogue
from pulsecart.local import issuer as dev_issuer
from pulsecart.local.servers import Stack
from pulsecart.runtime.db.migrate import migrate
from pulsecart.runtime.deps import Deps, close_deps, open_deps
from pulsecart.runtime.settings import Settings
from tests.client import Client
from tests.listening import OftenPolling
from tests.local.running_shop import RunningShop
from tests.pubsub import pubsub, pubsub_emulator

__all__ = ["pubsub", "pubsub_emulator"]
Report = TypeVar("Report", pytest.TestReport, pytest.CollectReport)
TEMPLATE = "template_migrated"
MEMORY = Path("/dev/shm")
MEMORY_BYTES = 1024**3  # the servers use up to 300 MB


@pytest.fixture(scope="session", autouse=True)
def _servers_end_at_once() -> Iterator[None]:
    """Make the servers inside of this process end within milliseconds; 500 tests start one."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(uvicorn.server, "asyncio", OftenPolling())
        yield


@pytest.fixture(scope="session")
def stack() -> Iterator[Stack]:
    """Provide servers for this test session alone, in a directory that is deleted with it."""
    with tempfile.TemporaryDirectory(prefix="pulsecart-test-", dir=_memory()) as data, Stack(Path(data)) as servers:
        yield servers


def _memory() -> Path | None:
    """Return a directory in memory if it has room: it copies a database in 12 ms, ext4 in 70 to 400."""
    roomy = MEMORY.is_dir() and os.access(MEMORY, os.W_OK) and shutil.disk_usage(MEMORY).free > MEMORY_BYTES
    return MEMORY if roomy else None


@pytest.fixture(scope="session")
def migrated(stack: Stack) -> str:
    """Provide the server's own URL; its database TEMPLATE has the schema and no rows, and no test connects to it."""
    _administer(stack.database_url, "CREATE DATABASE {}", TEMPLATE)
    migrate(_database(stack.database_url, TEMPLATE), stack.operations_url)
    return stack.database_url


@pytest.fixture
def database_url(migrated: str) -> Iterator[str]:
    """Provide a database for this test alone, migrated and empty."""
    name = f"test_{os.urandom(6).hex()}"
    _administer(migrated, f"CREATE DATABASE {{}} TEMPLATE {TEMPLATE} STRATEGY FILE_COPY", name)
    yield _database(migrated, name)
    _administer(migrated, "DROP DATABASE {} WITH (FORCE)", name)


@pytest.fixture
def redis_url(stack: Stack) -> str:
    """Provide an empty Redis."""
    with redis.Redis.from_url(stack.redis_url) as client:
        client.flushall()
    return stack.redis_url


@pytest.fixture(scope="session")
def jwks(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the published keys of an issuer whose tokens every shop of these tests accepts."""
    published = dev_issuer.jwks_of(tmp_path_factory.mktemp("issuer"))
    dev_issuer.ensure(published)
    return published


@pytest.fixture
def operations_url(database_url: str, stack: Stack) -> str:
    """Provide the same database with the operations' role, which reads and writes rows and changes no schema."""
    return _database(stack.operations_url, database_url.partition("@/")[2].partition("?")[0])


@pytest.fixture
def settings(database_url: str, redis_url: str, jwks: Path) -> Settings:
    return Settings(
        database_url=database_url,
        redis_url=redis_url,
        session_secret="of the tests alone, 32 bytes or more",
        webhook_keys="b2YgdGhlIHRlc3RzIGFsb25lLi4uLi4uLi4uLi4uLi4=",
        jwt_jwks_url=jwks.as_uri(),
        jwt_issuer=dev_issuer.ISSUER,
    )


@pytest.fixture
async def deps(settings: Settings) -> AsyncIterator[Deps]:
    """Provide the operations' Deps, on a database with the demo's goods and its sale open for a minute."""
    await load_catalogue(settings.database_url, GOODS, SALE, datetime.now(UTC) - timedelta(minutes=1))
    opened = open_deps(replace(settings, accept_unsigned_buyers=True))
    yield opened
    await close_deps(opened)


@pytest.fixture
def client(deps: Deps) -> Client:
    """Provide the demo's shop without its host."""
    return Client(deps)


@pytest.fixture
def start_shop(tmp_path: Path) -> Iterator[Callable[..., RunningShop]]:
    """Provide a function that starts whole shops as ./scripts/up does, each a process on a free port."""
    shops: list[RunningShop] = []

    def start(
        data: Path | None = None, *, port: int = 0, workers: int = 1, ready: bool = True, **environ: str
    ) -> RunningShop:
        place = data or tmp_path / f"shop-{len(shops)}"
        shops.append(RunningShop(place, port=port, workers=workers, environ=environ))
        return shops[-1].wait_ready() if ready else shops[-1]

    yield start
    for shop in shops:
        shop.stop()


@pytest.fixture
def shop(start_shop: Callable[..., RunningShop]) -> RunningShop:
    """Provide a running shop with one worker and the demo's goods."""
    return start_shop()


def _database(server_url: str, name: str) -> str:
    return server_url.replace("@/shop?", f"@/{name}?")


def _administer(server_url: str, statement: str, name: str) -> None:
    with psycopg.connect(server_url, autocommit=True) as connection:
        connection.execute(sql.SQL(statement).format(sql.Identifier(name)))


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """
    Refuse two tests of one id: pytest-xdist would run one of them, and --last-failed would mistake them.

    Where processes share the files, those with the longest time limits come first, so that none runs alone at the end.
    """
    if hasattr(config, "workerinput"):  # pytest-xdist's
        limits: dict[Path, float] = {}
        for item in items:
            limits[item.path] = max(limits.get(item.path, 0.0), _time_limit_s(item))
        items.sort(key=lambda item: -limits[item.path])
    repeated = [nodeid for nodeid, times in Counter(item.nodeid for item in items).items() if times > 1]
    if repeated:
        raise pytest.UsageError(f"more than one test has the id {', '.join(repeated)}")


def _time_limit_s(item: pytest.Item) -> float:
    marker = item.get_closest_marker("timeout")
    return float(marker.args[0]) if marker else 0.0


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Generator[None, pytest.TestReport, pytest.TestReport]:
    return _refuse_skip((yield))


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Generator[None, pytest.CollectReport, pytest.CollectReport]:
    return _refuse_skip((yield))


def _refuse_skip(report: Report) -> Report:
    """Fail skipped tests if PULSECART_CI=1: there, a test that cannot run is an error."""
    if report.skipped and os.environ.get("PULSECART_CI") == "1" and not hasattr(report, "wasxfail"):
        report.outcome = "failed"
        report.longrepr = f"{report.nodeid} was skipped, and CI skips nothing: {report.longrepr}"
    return report
