"""An error of PostgreSQL is attributed to the value, to concurrent writers, or to the database."""

import psycopg
import pytest
from psycopg import errors

from pulsecart.runtime.db.database import Database
from pulsecart.runtime.db.errors import Busy, problem_of
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Exhausted, Unavailable, Unstorable

LONG = "".join(chr(0x4E00 + n * 7 % 20000) for n in range(4000))  # not to be compressed into an index row
CONSUMED = "INSERT INTO consumed (operation, source, event_id) VALUES ('t', %s, %s)"


@pytest.mark.parametrize("pipelined", [False, True], ids=["one by one", "pipelined"])
@pytest.mark.parametrize(
    ("sql", "value"),
    [
        (CONSUMED, ("/s", "a\0b")),
        (CONSUMED, ("/s", "\ud800")),
        (CONSUMED, ("/s", LONG)),
        ("SELECT %s::bigint", ("9" * 30,)),
        ("SELECT %s::uuid", ("no uuid",)),
        ("SELECT (%s::json) ->> 'a'", ('{"a":"\\u0000"}',)),
        ("SELECT %s::timestamptz", ("300000-01-01",)),
        ("SELECT to_tsvector('simple', %s)", (" ".join(map(str, range(300_000))),)),
    ],
    ids=[
        "NUL",
        "half a surrogate pair",
        "too long for an index",
        "too large",
        "no uuid",
        "jsonb",
        "time",
        "too many words",
    ],
)
async def test_a_value_that_cannot_be_kept_is_never_the_database_being_unavailable(
    deps: Deps, sql: str, value: tuple[str, ...], pipelined: bool
) -> None:
    async def use() -> None:
        async with deps.db.transaction(pipelined=pipelined) as tx:
            await tx.execute(sql, value)
            await (await tx.execute("SELECT 1")).fetchall()

    with pytest.raises(Unstorable) as refused:
        await use()
    assert refused.value.status == 400
    assert "consumed" not in refused.value.detail, "nothing of how the shop is built"


def test_each_class_of_sqlstate_is_known_for_what_it_is() -> None:
    kinds = {
        Unstorable: (errors.NumericValueOutOfRange, errors.UntranslatableCharacter, errors.ProgramLimitExceeded),
        Busy: (errors.DeadlockDetected, errors.LockNotAvailable, errors.SerializationFailure),
        Exhausted: (errors.OutOfMemory, errors.ConfigurationLimitExceeded),
        Unavailable: (errors.AdminShutdown, errors.CannotConnectNow, errors.TooManyConnections, errors.DiskFull),
    }
    for kind, raised in kinds.items():
        assert {type(problem_of(error())) for error in raised} == {kind}
    assert type(problem_of(psycopg.OperationalError("connection lost"))) is Unavailable
    for unexpected in (errors.DivisionByZero(), errors.UniqueViolation(), errors.UndefinedColumn(), ValueError()):
        assert problem_of(unexpected) is None


async def test_what_fails_after_the_commit_does_not_undo_it(deps: Deps) -> None:
    def breaks() -> None:
        raise RuntimeError("nobody is woken")

    db = Database(deps.pool, operation="t", now=deps.clock.now, share=deps.shares.of(1), committed=breaks)
    async with db.transaction() as tx:
        tx.has_events = True
        await tx.execute(CONSUMED, ("/s", "1"))
    async with db.transaction() as tx:
        assert await tx.row("SELECT 1 FROM consumed WHERE operation = 't'") == (1,)
