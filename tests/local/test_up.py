"""./scripts/up as its user meets it: a process, its sentences, and what it does when something dies."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import psycopg
import pytest
import redis

from pulsecart.admin.which_shop import ROOT, NoShop, connection_for_scripts, running
from pulsecart.local.child import command_of
from pulsecart.local.kept_secrets import session_secret, webhook_keys
from pulsecart.runtime.seal_keys import keys_of
from tests.local.running_shop import RunningShop, eventually

StartShop = Callable[..., RunningShop]


def test_two_shops_run_side_by_side(start_shop: StartShop) -> None:
    first, second = start_shop(), start_shop(workers=2)
    assert first.get("/readyz") == second.get("/readyz") == 200
    assert first.url != second.url
    assert len(second.run["workers"]) == 2
    assert not {*first.pids.values()} & {*second.pids.values()}


def test_a_first_start_has_no_warning_and_its_log_is_in_the_data_directory_too(start_shop: StartShop) -> None:
    shop = start_shop(workers=2)
    for path in ("/", "/metrics", "/api/v1/products", "/api/v1/sales", "/readyz"):
        assert shop.get(path) == 200
    logs = [shop.data / f"worker-{worker}.log" for worker in (0, 1)]
    eventually(lambda: all(log.exists() for log in logs), "both workers have written")  # one is ready first
    output = shop.said
    lines = [json.loads(line) for line in output.splitlines() if line.startswith("{")]
    assert [line for line in lines if line["level"] not in ("INFO", "DEBUG")] == []
    assert "warning" not in output.lower()
    assert f"{shop.data}/worker-0.log" in output
    for worker in (0, 1):
        kept = (shop.data / f"worker-{worker}.log").read_text().splitlines()
        assert kept
        assert all(output.count(line) == 1 for line in kept)


def test_ctrl_c_stops_everything_and_says_no_more_than_that(shop: RunningShop) -> None:
    pids = shop.pids
    assert shop.stop(signal.SIGINT) == 0
    assert {name: command_of(pid) for name, pid in pids.items()} == dict.fromkeys(pids, "")
    assert "Traceback" not in shop.said
    assert "stopped; the data is kept" in shop.said
    assert not (shop.data / "run.json").exists()


def test_ctrl_c_while_it_starts_stops_everything_too(start_shop: StartShop, tmp_path: Path) -> None:
    shop = start_shop(ready=False)
    eventually((shop.data / "postgres.partial").exists, "the database is being made")
    assert shop.stop(signal.SIGINT) == 0
    assert "Traceback" not in shop.said
    assert not [pid for pid in _pids() if str(tmp_path) in command_of(pid)]


@pytest.mark.parametrize("name", ["host", "postgres", "valkey"])
def test_a_process_that_is_killed_is_started_again(shop: RunningShop, name: str) -> None:
    others = {other: pid for other, pid in shop.pids.items() if other != name}
    shop.kill(name)
    assert {other: pid for other, pid in shop.pids.items() if other != name} == others
    eventually(lambda: shop.get("/readyz") == 200, "the shop is ready again")
    assert "was killed by SIGKILL" in shop.said


def test_redis_comes_back_empty_also_when_its_directory_is_gone(shop: RunningShop) -> None:
    with redis.Redis.from_url(shop.redis_url) as client:
        client.set("mark", "before")
    (shop.data / "valkey" / "pid").unlink()
    (shop.data / "valkey").rmdir()
    shop.kill("valkey")
    eventually(lambda: _answers(shop.redis_url), "Redis answers")
    with redis.Redis.from_url(shop.redis_url) as client:
        assert client.get("mark") is None


def test_a_killed_postgresql_keeps_what_was_committed(shop: RunningShop) -> None:
    with psycopg.connect(shop.database_url, autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (x int)")
        connection.execute("INSERT INTO kept VALUES (1)")
        shop.kill("postgres")
    eventually(lambda: _connects(shop.database_url), "PostgreSQL answers")
    with psycopg.connect(shop.database_url) as connection:
        assert connection.execute("SELECT x FROM kept").fetchall() == [(1,)]


def test_a_killed_supervisor_is_mended_by_the_next_start(start_shop: StartShop) -> None:
    first = start_shop()
    first.process.kill()
    first.process.wait()
    assert running(first.data) is None
    second = start_shop(first.data)
    assert second.get("/readyz") == 200


def test_a_port_in_use_is_named_with_the_way_out(start_shop: StartShop) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        shop = start_shop(port=port, ready=False)
        assert shop.process.wait(20) == 1
    assert f"port {port} is in use" in shop.said
    assert "--port" in shop.said
    assert "Traceback" not in shop.said


def test_a_second_shop_on_the_same_data_is_informed_about_the_first(shop: RunningShop, start_shop: StartShop) -> None:
    second = start_shop(shop.data, ready=False)
    assert second.process.wait(20) == 1
    assert f"a shop is already running on {shop.data}: {shop.url} (pid {shop.process.pid})" in shop.said
    assert shop.get("/readyz") == 200
    assert (shop.data / "run.json").exists()


def test_a_setting_that_cannot_be_read_stops_the_start_with_its_name(start_shop: StartShop) -> None:
    shop = start_shop(ready=False, POOL_MAX="many")
    assert shop.process.wait(30) == 1
    assert "POOL_MAX='many'" in shop.said


def test_servers_named_by_the_environment_are_used_and_named_without_the_password(
    start_shop: StartShop, database_url: str, redis_url: str
) -> None:
    secret = database_url.replace("shop@", "shop:hunter2@")
    shop = start_shop(DATABASE_URL=secret, REDIS_URL=redis_url)
    assert shop.run["postgres_pid"] is None
    assert shop.run["database_url"] == secret
    assert "using the PostgreSQL that DATABASE_URL names" in shop.said
    assert "hunter2" not in shop.said


def test_its_secrets_are_readable_by_their_owner_alone(shop: RunningShop) -> None:
    modes = {path.name: path.stat().st_mode & 0o077 for path in shop.data.iterdir()}
    assert modes == dict.fromkeys(modes, 0)


def test_its_secrets_are_made_once_and_kept(tmp_path: Path) -> None:
    made = [make(tmp_path) for make in (session_secret, webhook_keys)]
    assert [make(tmp_path) for make in (session_secret, webhook_keys)] == made
    assert {path.name for path in tmp_path.iterdir()} == {"session.secret", "webhook.keys"}
    assert {path.stat().st_mode & 0o777 for path in tmp_path.iterdir()} == {0o600}
    assert len(keys_of(made[1])) == 1


def test_scripts_find_the_shop_that_runs(shop: RunningShop) -> None:
    found = connection_for_scripts(shop.data)
    assert (found.url, found.database_url) == (shop.url, shop.database_url)
    assert connection_for_scripts(environ={"DATABASE_URL": "postgresql://elsewhere/x"}).redis_url == ""


def test_scripts_say_how_to_start_one_when_none_runs(tmp_path: Path) -> None:
    with pytest.raises(NoShop, match=r"no shop is running on .*; start one with \./scripts/up"):
        connection_for_scripts(tmp_path)


def test_the_command_explains_itself() -> None:
    output = subprocess.run(
        [sys.executable, "-m", "pulsecart.local.up", "--help"], cwd=ROOT, capture_output=True, text=True
    )
    assert output.returncode == 0
    assert all(option in output.stdout for option in ("--port", "--data", "--workers", "127.0.0.1"))


def test_one_lock_holds_the_other() -> None:
    runtime, dev = (_pins(ROOT / "requirements" / name) for name in ("runtime.lock", "dev.lock"))
    assert runtime
    assert runtime <= dev


def _pins(lock: Path) -> set[str]:
    return {line.split(" ")[0] for line in lock.read_text().splitlines() if "==" in line and line[0].isalpha()}


def _pids() -> list[int]:
    return [int(name) for name in os.listdir("/proc") if name.isdigit()] if os.path.isdir("/proc") else []


def _connects(database_url: str) -> bool:
    try:
        psycopg.connect(database_url).close()
        return True
    except psycopg.OperationalError:
        return False


def _answers(redis_url: str) -> bool:
    try:
        with redis.Redis.from_url(redis_url) as client:
            return bool(client.ping())
    except redis.ConnectionError:
        return False
