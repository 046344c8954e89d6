"""Compares each answer of an operation in a test with the API's description."""

from functools import cache
from typing import Any

import msgspec
from jsonschema_rs import Draft202012Validator

from pulsecart.runtime.contracts import CONTRACTS_DIR
from pulsecart.serving.http import Reply


def check_described(method: str, path: str, reply: Reply) -> None:
    """
    Args:
        path: the route's, with its placeholders.
    """
    described = _described(method, path, reply.status)
    content = described.get("content", {})
    given = {name.lower() for name, _ in reply.headers}
    missing = [name for name in _promised(method, path, reply.status) if name not in given]
    assert missing == [], f"{method} {path}: {reply.status} promises the headers {missing}"
    if not reply.body:
        assert not content, f"{method} {path} is described as {reply.status} with a body"
        return
    media = reply.media_type.partition(";")[0]
    assert media in content, f"{method} {path}: {reply.status} as {media} is not in contracts/http"
    if media.endswith("json"):
        wrong = [error.message for error in _validator(method, path, reply.status, media).iter_errors(_json(reply))]
        assert wrong == [], f"{method} {path} {reply.status}: {reply.body.decode()}: {wrong}"


def _json(reply: Reply) -> Any:
    return msgspec.json.decode(reply.body)


@cache
def _document() -> Any:
    return msgspec.json.decode((CONTRACTS_DIR / "openapi.json").read_bytes())


def _described(method: str, path: str, status: int) -> Any:
    replies = _document()["paths"][path][method.lower()]["responses"]
    assert str(status) in replies, f"{method} {path}: {status} is not in contracts/http"
    return _found(replies[str(status)])


@cache
def _promised(method: str, path: str, status: int) -> list[str]:
    headers = _described(method, path, status).get("headers", {})
    return [name.lower() for name, header in headers.items() if _found(header).get("required")]


def _found(node: Any) -> Any:
    while "$ref" in node:
        _, _, kind, name = node["$ref"].split("/")
        node = _document()["components"][kind][name]
    return node


@cache
def _validator(method: str, path: str, status: int, media: str) -> Draft202012Validator:
    schema = _described(method, path, status)["content"][media]["schema"]
    return Draft202012Validator({**schema, "components": _document()["components"]}, validate_formats=True)
