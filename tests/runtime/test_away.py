"""A failure is attributed to a shared dependency, or to one caller's request."""

import json

import pytest
from redis import exceptions

from pulsecart.runtime.away import is_away
from pulsecart.runtime.problem import Exhausted, Malformed, Unavailable
from pulsecart.runtime.redis_client import error_of
from pulsecart.runtime.redis_error import RedisError
from pulsecart.serving.replies import reply_of


@pytest.mark.parametrize(
    "error",
    [
        Unavailable("database-unavailable", "Again."),
        ConnectionResetError(),
        TimeoutError(),
        exceptions.ConnectionError(),
        exceptions.TimeoutError(),
        exceptions.BusyLoadingError(),
        exceptions.ReadOnlyError("READONLY You can't write against a read only replica."),
        exceptions.ResponseError("OOM command not allowed when used memory > 'maxmemory'."),
        exceptions.ResponseError("BUSY Valkey is busy running a script."),
    ],
    ids=repr,
)
def test_what_everyone_needs_is_away_and_can_be_asked_again(error: Exception) -> None:
    if isinstance(error, exceptions.RedisError):
        error = error_of(error)
    assert is_away(error)
    if isinstance(error, RedisError):
        assert json.loads(reply_of(error).body)["type"].endswith("redis-unavailable")


@pytest.mark.parametrize(
    "error",
    [
        Malformed("bad-attribute", "No."),
        Exhausted("database-exhausted", "Again."),
        ValueError(),
        UnicodeEncodeError("utf-8", "\ud800", 0, 1, "surrogates not allowed"),
        exceptions.DataError("Invalid input of type: 'NoneType'."),
        exceptions.ResponseError("ERR Invalid stream ID specified as stream command argument"),
        exceptions.ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value"),
    ],
    ids=repr,
)
def test_what_one_caller_sent_is_not_called_away(error: Exception) -> None:
    if isinstance(error, exceptions.RedisError):
        error = error_of(error)
    assert not is_away(error)
    if isinstance(error, RedisError):
        assert json.loads(reply_of(error).body)["type"].endswith("internal-error")
