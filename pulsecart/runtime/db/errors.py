"""Maps PostgreSQL's errors to problems: unreachable, busy, out of resources, or a value that cannot be stored."""

from psycopg import DataError, Error, OperationalError

from pulsecart.runtime.problem import Exhausted, Problem, Unavailable, Unstorable

# By SQLSTATE (https://www.postgresql.org/docs/current/errcodes-appendix.html), because psycopg's classes mix causes:
# OperationalError is a lost connection as well as an index row that is too long.
LOCKED = frozenset({"40001", "40P01", "55P03", "55006"})
TOO_MUCH = frozenset({"53200", "53400"})
AWAY = frozenset({"08", "28", "53", "57", "58", "F0"})  # classes
OF_THE_VALUE = frozenset({"22", "54"})
DIVISION_BY_ZERO = "22012"  # ``Tx.later`` rolls back with it; no value is at fault


class Busy(Unavailable):
    """Rows stayed locked, or transactions deadlocked; the transaction was rolled back and can be retried."""


def problem_of(error: Exception) -> Problem | None:
    """Return the problem that ``error`` stands for; None if it is unexpected, or if the caller handles it."""
    if isinstance(error, UnicodeEncodeError):
        return _unstorable("half of a surrogate pair")
    if not isinstance(error, Error):
        return None
    code = error.sqlstate or ""
    if not code:
        return _without_code(error)
    if code in LOCKED:
        return Busy("busy", "The same rows are being written by another request. Try again in a second.")
    if code in TOO_MUCH:
        return Exhausted(
            "database-exhausted", "The database does not have enough memory for this now. Try again shortly."
        )
    if code[:2] in OF_THE_VALUE and code != DIVISION_BY_ZERO:
        return _unstorable(f"SQLSTATE {code}, {type(error).__name__}")
    return _away() if code[:2] in AWAY else None


def _without_code(error: Error) -> Problem | None:
    """Map an error raised by the driver itself: no connection, or text that it cannot send."""
    if isinstance(error, OperationalError):
        return _away()
    return _unstorable("U+0000") if isinstance(error, DataError) and "NUL" in str(error) else None


def _away() -> Unavailable:
    return Unavailable("database-unavailable", "The database cannot be reached. Try again shortly.")


def _unstorable(what: str) -> Unstorable:
    return Unstorable(
        "unstorable",
        f"A value cannot be stored or compared ({what}). Shorten or correct it, and send the request again.",
    )
