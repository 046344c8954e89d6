"""The servers of a data directory recover from crashes, and give the reason when they cannot start."""

import os
import shutil
from pathlib import Path

import psycopg
import pytest
import redis

from pulsecart.local import postgres
from pulsecart.local.cannot_start import CannotStart, why
from pulsecart.local.child import command_of
from pulsecart.local.postgres import Postgres, major
from pulsecart.local.servers import Stack
from pulsecart.local.valkey import Valkey


def test_a_second_start_finds_its_data_and_an_empty_redis(tmp_path: Path) -> None:
    with Stack(tmp_path / "data") as servers:
        _query(servers, "CREATE TABLE kept AS SELECT 42 AS answer")
        _client(servers).set("kept", "no")
    with Stack(tmp_path / "data") as servers:
        assert _query(servers, "SELECT answer FROM kept") == 42
        assert _client(servers).dbsize() == 0


def test_commits_are_durable_and_readable_by_logical_decoding(stack: Stack) -> None:
    assert [_query(stack, f"SHOW {name}") for name in ("fsync", "synchronous_commit", "wal_level")] == [
        "on",
        "on",
        "logical",
    ]


def test_letters_are_unicode_s_on_every_machine(stack: Stack) -> None:
    made = "SELECT concat(datlocprovider, ' ', datlocale) FROM pg_database WHERE datname = current_database()"
    assert _query(stack, made) == "b C.UTF-8"
    assert _query(stack, "SELECT lower('ÉÅΣЖ')") == "éåσж"


def test_a_half_made_database_is_created_again(tmp_path: Path) -> None:
    half = tmp_path / "data" / "postgres.partial"
    half.mkdir(parents=True)
    (half / "PG_VERSION").write_text("18\n")
    output: list[str] = []
    with Stack(tmp_path / "data", say=output.append) as servers:
        assert _query(servers, "SELECT 1") == 1
    assert not half.exists()
    assert any("interrupted" in sentence for sentence in output)


def test_servers_left_over_from_a_crash_are_stopped_and_nothing_is_lost(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Stack(data) as servers:
        _query(servers, "CREATE TABLE kept AS SELECT 42 AS answer")
    leftovers: list[Postgres | Valkey] = [
        Postgres(data / "postgres", data / "sockets", data / "postgres.log"),
        Valkey(data / "valkey", data / "sockets", data / "valkey.log"),
    ]
    for server in leftovers:
        server.prepare()
        server.spawn()
    for server in leftovers:
        server.wait_ready()
    pids = [server.process.pid for server in leftovers if server.process]

    output: list[str] = []
    with Stack(data, say=output.append) as servers:
        assert _query(servers, "SELECT answer FROM kept") == 42
        assert [command_of(pid) for pid in pids] == ["", ""]
    assert output == [
        f"stopped a Valkey left over from a crash (pid {pids[1]})",
        f"stopped a PostgreSQL left over from a crash (pid {pids[0]})",
    ]
    for server in leftovers:
        server.stop()


def test_a_stale_pid_that_is_another_process_by_now_does_not_keep_it_from_starting(tmp_path: Path) -> None:
    data = tmp_path / "data"
    with Stack(data) as servers:
        assert servers.postgres is not None
        assert servers.postgres.process is not None
        _query(servers, "SELECT 1")
        servers.postgres.process.kill()
        servers.postgres.process.wait()
        for file in (data / "postgres" / "postmaster.pid", data / "sockets" / ".s.PGSQL.5432.lock"):
            file.write_text(file.read_text().replace(str(servers.postgres.process.pid), str(os.getppid()), 1))
    with Stack(data) as servers:
        assert _query(servers, "SELECT 1") == 1
    assert command_of(os.getppid()), "a process that is not ours was stopped"


def test_a_data_directory_in_use_names_its_shop(tmp_path: Path) -> None:
    with Stack(tmp_path), pytest.raises(CannotStart, match="already starting or stopping"):
        Stack(tmp_path).start()


def test_a_directory_of_another_postgresql_says_so(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "PG_VERSION").write_text("12\n")
    with pytest.raises(CannotStart, match=f"created by PostgreSQL 12, and this is PostgreSQL {major()}"):
        Stack(tmp_path).start()


def test_a_directory_that_holds_something_else_says_so(tmp_path: Path) -> None:
    (tmp_path / "postgres").mkdir()
    (tmp_path / "postgres" / "diary.txt").write_text("dear diary")
    with pytest.raises(CannotStart, match="holds no PostgreSQL database"):
        Stack(tmp_path).start()
    assert (tmp_path / "postgres" / "diary.txt").exists()


def test_a_data_directory_that_cannot_be_made_says_so(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CannotStart, match="cannot be written"):
        Stack(tmp_path / "file" / "data").start()


def test_a_full_disk_says_so_before_and_after_a_server_meets_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "postgres.log").write_text("FATAL: could not write lock file: No space left on device\n")
    assert f"the disk under {tmp_path} is full" in str(why(tmp_path / "postgres.log", "PostgreSQL ended"))
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(100, 100, 0))
    with pytest.raises(CannotStart, match=f"the disk under {tmp_path} is full"):
        Stack(tmp_path).start()


def test_root_that_may_make_no_user_namespace_is_informed_what_else_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setenv("PATH", str(tmp_path))
    without_memory = postgres._prefix.__wrapped__
    with pytest.raises(CannotStart, match="start as an ordinary user, or give DATABASE_URL"):
        without_memory()


def test_sockets_never_go_where_someone_else_may_write(tmp_path: Path) -> None:
    (tmp_path / "sockets").mkdir()
    (tmp_path / "sockets").chmod(0o777)
    with pytest.raises(CannotStart, match="must be a directory that only you can use"):
        Stack(tmp_path).start()


def test_a_long_path_keeps_its_sockets_elsewhere_and_cleans_up(tmp_path: Path) -> None:
    with Stack(tmp_path / ("long" * 20) / ("longer" * 10)) as servers:
        assert _query(servers, "SELECT 1") == 1
        assert _client(servers).ping()
        assert servers.postgres is not None
        sockets = servers.postgres.sockets
    assert not sockets.exists()


def test_servers_given_are_used_and_none_is_started(tmp_path: Path, stack: Stack) -> None:
    given = Stack(tmp_path / "data", database_url=stack.database_url, redis_url=stack.redis_url)
    with given:
        assert given.servers == []
        assert (given.database_url, given.redis_url) == (stack.database_url, stack.redis_url)


def test_a_users_own_postgresql_variables_do_not_reach_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PGPORT", "1")
    monkeypatch.setenv("PGDATA", "/nonexistent")
    with Stack(tmp_path / "data") as servers:
        assert _query(servers, "SELECT 1") == 1


def test_it_makes_no_account_and_changes_no_mode(tmp_path: Path) -> None:
    accounts = [Path("/etc/passwd"), Path("/etc/group")]
    parents = list((tmp_path / "data").parents)
    before = [path.read_bytes() for path in accounts], [_rights(path) for path in parents]
    with Stack(tmp_path / "data") as servers:
        _query(servers, "SELECT 1")
        assert _rights(tmp_path / "data") == (0o40700, os.getuid(), os.getgid())
        owners = {path.stat().st_uid for path in (tmp_path / "data").rglob("*")}
        assert owners == {os.getuid()}
    assert before == ([path.read_bytes() for path in accounts], [_rights(path) for path in parents])


def test_a_server_that_is_asked_to_stop_writes_everything_down(tmp_path: Path) -> None:
    with Stack(tmp_path) as servers:
        process = servers.postgres.process if servers.postgres else None
        _query(servers, "CREATE TABLE kept (x int)")
    assert process is not None
    assert process.returncode == 0
    assert "database system is shut down" in (tmp_path / "postgres.log").read_text()


def _rights(path: Path) -> tuple[int, int, int]:
    found = path.stat()
    return found.st_mode, found.st_uid, found.st_gid


def _query(servers: Stack, statement: str) -> object:
    with psycopg.connect(servers.database_url, autocommit=True) as connection:
        cursor = connection.execute(statement)
        row = cursor.fetchone() if cursor.description else None
        return row[0] if row else None


def _client(servers: Stack) -> redis.Redis:
    return redis.Redis.from_url(servers.redis_url)
