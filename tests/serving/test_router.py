"""Finds for each request one operation by a table of all routes, or returns 404 or 405."""

from collections.abc import MutableMapping
from typing import Any

import pytest

from pulsecart.processes import registry
from pulsecart.runtime.deps import Deps
from pulsecart.serving.access import PUBLIC
from pulsecart.serving.asgi import send_reply
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import Operation
from pulsecart.serving.router import Router
from pulsecart.serving.routes import get, matched, post


async def nothing(request: Request, deps: Deps) -> Reply:
    return Reply()


ROUTES = Router(
    [
        Operation(
            "shelf",
            [get("/shelf/{id}", nothing, allow=PUBLIC), post("/shelf/{id}/books/{book}", nothing, allow=PUBLIC)],
        ),
        Operation(
            "desk",
            [
                get("/desk", nothing, allow=PUBLIC),
                post("/desk", nothing, allow=PUBLIC),
                get("/shelf/first", nothing, allow=PUBLIC),
            ],
        ),
    ]
)


@pytest.mark.parametrize(
    ("method", "path", "operation", "params"),
    [
        ("GET", "/desk", "desk", {}),
        ("GET", "/shelf/7", "shelf", {"id": "7"}),
        ("GET", "/shelf/first", "desk", {}),
        ("GET", "/shelf/{id}", "shelf", {"id": "{id}"}),
        ("POST", "/shelf/é/books/b c", "shelf", {"id": "é", "book": "b c"}),
    ],
)
def test_a_request_finds_its_operation_and_its_values(
    method: str, path: str, operation: str, params: dict[str, str]
) -> None:
    found = ROUTES.find(method, path)
    assert found
    assert (found[0].operation.name, found[1]) == (operation, params)


@pytest.mark.parametrize(
    "path", ["/", "/desk/", "/Desk", "/shelf", "/shelf/", "/shelf//", "/shelf/7/", "/shelf/a\0b", "/shelf/a\nb", ""]
)
def test_a_path_that_is_no_one_s_finds_no_one(path: str) -> None:
    assert ROUTES.find("GET", path) is None
    assert ROUTES.methods(path) == []


def test_a_path_of_another_method_says_which() -> None:
    assert ROUTES.find("PUT", "/desk") is None
    assert ROUTES.methods("/desk") == ["GET", "POST"]
    assert ROUTES.methods("/shelf/7/books/8") == ["POST"]


def test_two_operations_with_one_route_stop_the_start() -> None:
    for path in ("/desk", "/shelf/{id}"):
        twice = [
            Operation("one", [get(path, nothing, allow=PUBLIC)]),
            Operation("other", [get(path, nothing, allow=PUBLIC)]),
        ]
        with pytest.raises(ValueError, match=f"GET {path.replace('{', '.')[:6]}"):
            Router(twice)


def test_the_shop_s_operations_share_no_route() -> None:
    Router(registry.load_all().values())


def test_a_placeholder_takes_one_segment_and_no_nothing() -> None:
    assert matched("/a/{x}/c", "/a/b/c") == {"x": "b"}
    assert matched("/a/{x}/c", "/a//c") is None
    assert matched("/a/{x}", "/a/b/c") is None


@pytest.mark.parametrize(("status", "reported"), [(200, [b"2"]), (204, []), (304, [])])
async def test_an_answer_that_has_no_body_claims_no_length(status: int, reported: list[bytes]) -> None:
    sent: list[Any] = []

    async def send(message: MutableMapping[str, Any]) -> None:
        sent.append(message)

    await send_reply(send, Reply(status, b"{}" if status == 200 else b"", headers=(("etag", '"1"'),)))
    assert [value for name, value in sent[0]["headers"] if name == b"content-length"] == reported
