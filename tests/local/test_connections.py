"""The whole shop survives clients that send incomplete requests or exceed the limits."""

import contextlib
import json
import socket
import threading
from collections.abc import Callable
from urllib.parse import urlsplit

from tests.local.running_shop import RunningShop

HEAD = b"Host: 127.0.0.1\r\n"
LIMITS = {
    "SILENT_TIMEOUT_S": "0.5",
    "HEAD_TIMEOUT_S": "0.5",
    "BODY_TIMEOUT_S": "0.5",
    "KEEP_ALIVE_S": "0.5",
    "WRITE_TIMEOUT_S": "0.5",
    "STREAMS_PER_ADDRESS": "3",
    "ACCEPT_UNSIGNED_BUYERS": "false",
}


def answer(shop: RunningShop, sent: bytes) -> bytes:
    """Return the bytes received until the server closes."""
    at = urlsplit(shop.url)
    with socket.create_connection((at.hostname, at.port), 10) as asking:
        threading.Thread(target=lambda: _sent(asking, sent)).start()
        return b"".join(iter(lambda: asking.recv(65536), b""))


def _sent(asking: socket.socket, sent: bytes) -> None:
    with contextlib.suppress(OSError):
        asking.sendall(sent)


def test_half_requests_end_and_whole_ones_are_held_to_the_rules(start_shop: Callable[..., RunningShop]) -> None:
    shop = start_shop(**LIMITS)
    buy = b"POST /api/v1/sync/purchase HTTP/1.1\r\n" + HEAD
    assert answer(shop, b"") == b""
    for sent, status in (
        (buy, b"408"),
        (buy + b"Content-Length: 40\r\n\r\n{", b"408"),
        (buy + b"Cookie: " + b"c" * 10_000_000, b"431"),
        (b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\n" + HEAD + b"\r\n", b"414"),
        (buy + b"Authorization: Bearer a\r\nauthorization: Bearer b\r\nContent-Length: 2\r\n\r\n{}", b"400"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
    ):
        assert answer(shop, sent)[9:12] == status, sent[:60]

    body = json.dumps({"productId": 1, "userId": "7"}).encode()
    token = b"Authorization: Bearer " + _token(shop) + b"\r\n"
    chunked = b"Content-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    whole = buy + chunked + b"%x\r\n" % len(body) + body + b"\r\n0\r\n"
    assert answer(shop, whole + token + b"\r\n")[9:12] == b"401", "a token in a trailer is none"

    at = urlsplit(shop.url)
    streams = [socket.create_connection((at.hostname, at.port)) for _ in range(3)]
    for stream in streams:
        stream.sendall(b"GET /sse/stock/1 HTTP/1.1\r\nAccept: text/event-stream\r\n" + HEAD + b"\r\n")
        assert stream.recv(65536)[9:12] == b"200"
    refused = answer(shop, b"GET /sse/stock/1 HTTP/1.1\r\nConnection: close\r\n" + HEAD + b"\r\n")
    assert (refused[9:12], b"retry: " in refused, b"event: " in refused) == (b"200", True, False)
    assert answer(shop, b"GET /healthz HTTP/1.1\r\n" + HEAD + b"\r\n")[9:12] == b"200"
    for stream in streams:  # older by now than an idle connection may be
        assert _is_open(stream)
        stream.close()


def _is_open(stream: socket.socket) -> bool:
    try:
        return bool(stream.recv(65536, socket.MSG_DONTWAIT))
    except BlockingIOError:
        return True


def _token(shop: RunningShop) -> bytes:
    from datetime import UTC, datetime, timedelta

    from pulsecart.local import issuer as dev_issuer

    jwks = shop.data / "issuer" / "jwks.json"
    return dev_issuer.token(jwks, "7", ("customer",), timedelta(hours=1), "pulsecart", datetime.now(UTC)).encode()
