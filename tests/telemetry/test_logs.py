"""Each log line is one JSON object with its subject, and without personal data except ids."""

import asyncio
import io
import json
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pulsecart.runtime.batch import Batcher
from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.telemetry import logs
from pulsecart.runtime.telemetry.logs import bind, bind_event
from pulsecart.runtime.telemetry.stall import running
from pulsecart.runtime.telemetry.tracing import span

TRACEPARENT = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
log = logging.getLogger("shop.test")


@pytest.fixture
def stream() -> Iterator[io.StringIO]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []
    written = io.StringIO()
    logs.start("INFO", written)
    yield written
    root.handlers = handlers
    root.setLevel(level)


def lines(stream: io.StringIO) -> list[dict[str, Any]]:
    return [json.loads(line) for line in stream.getvalue().splitlines()]


def test_a_line_says_operation_order_trace_user_and_event_type(stream: io.StringIO) -> None:
    with running("pay"), span("deliver", traceparent=TRACEPARENT), bind(orderId="o-1", eventType="order.confirmed"):
        bind(userId="u-9")
        log.info("charged %d", 4990, extra={"attempt": 2})
    (line,) = lines(stream)
    assert line.pop("time").endswith("+00:00")
    assert line == {
        "level": "INFO",
        "logger": "shop.test",
        "operation": "pay",
        "traceId": "4bf92f3577b34da6a3ce929d0e0e4736",
        "orderId": "o-1",
        "userId": "u-9",
        "eventType": "order.confirmed",
        "message": "charged 4990",
        "attempt": 2,
    }


def test_what_an_event_is_about_is_named_by_its_kind(stream: io.StringIO) -> None:
    for type, subject in (("ecommerce.order.order.paid.v1", "o-1"), ("ecommerce.inventory.stock.adjusted.v1", "1")):
        with bind_event(CloudEvent(id="e-1", source="/x", type=type, subject=subject)):
            log.info("heard")
    with bind_event(CloudEvent(id="e-2", source="/x", type="dev.knative.sources.ping")):
        log.info("heard")
    order, stock, ping = lines(stream)
    assert (order["eventType"], order["eventId"], order["orderId"]) == ("ecommerce.order.order.paid.v1", "e-1", "o-1")
    assert stock["productId"] == "1"
    assert "orderId" not in stock.keys() | ping.keys()


async def test_what_one_task_binds_another_does_not_say(stream: io.StringIO) -> None:
    async def about(order: str) -> None:
        bind(orderId=order)
        await asyncio.sleep(0)
        log.info("done")

    await asyncio.gather(about("o-1"), about("o-2"))
    log.info("outside")
    assert [line.get("orderId") for line in lines(stream)] == ["o-1", "o-2", None]


def test_a_line_stays_one_line_whatever_is_in_it(stream: io.StringIO) -> None:
    log.info("forged\n{'level': 'CRITICAL'}\r\u2028", extra={"odd": object, "half": "\ud800"})
    try:
        raise ValueError("several\nlines")
    except ValueError:
        log.exception("failed")
    texts = stream.getvalue().split("\n")[:-1]
    forged, failed = (json.loads(text) for text in texts)
    assert forged["message"].startswith("forged\n")
    assert "ValueError: several\nlines" in failed["exc_info"]


def test_uvicorns_loggers_write_the_same_and_no_client_address_or_query(stream: io.StringIO) -> None:
    logging.getLogger("uvicorn.error").info("Started server")
    logging.getLogger("uvicorn.access").info(
        '%s - "%s %s HTTP/%s" %d', "203.0.113.9:5000", "GET", "/sse/orders/1?ticket=abc", "1.1", 200
    )
    started, access = lines(stream)
    assert started["message"] == "Started server"
    assert (access["method"], access["path"], access["status"]) == ("GET", "/sse/orders/1", 200)
    assert "203.0.113.9" not in stream.getvalue()
    assert "ticket" not in stream.getvalue()


@pytest.mark.parametrize(
    ("text", "args", "status"),
    [
        ('%s - "WebSocket %s" [accepted]', (), 101),
        ('%s - "WebSocket %s" 403', (), 403),
        ('%s - "WebSocket %s" %d', (421,), 421),
    ],
)
def test_a_socket_s_line_has_neither_its_ticket_nor_its_client(
    stream: io.StringIO, text: str, args: tuple[int, ...], status: int
) -> None:
    logging.getLogger("uvicorn.error").info(text, "203.0.113.9:5000", "/ws/orders?a=b&ticket=XTh0R6f0C1oQ1pVb", *args)
    (line,) = lines(stream)
    assert (line["message"], line["path"], line["status"]) == ("websocket", "/ws/orders", status)
    assert "203.0.113.9" not in stream.getvalue()
    assert "XTh0R6" not in stream.getvalue()


@pytest.mark.parametrize("level", ["DEBUG", "INFO", "WARNING"])
def test_what_servers_and_clients_write_below_info_is_not_written_at_any_level(level: str) -> None:
    root = logging.getLogger()
    handlers, before = root.handlers[:], root.level
    written = io.StringIO()
    try:
        root.handlers = []
        logs.start(level, written)
        for name in ("uvicorn.error", "uvicorn.access", "websockets.server", "httpx", "httpcore.connection"):
            for at in (5, logging.DEBUG):
                logging.getLogger(name).log(at, "203.0.113.9:5000 - GET /?ticket=XTh0R6f0C1oQ1pVb Cookie: a=b")
        logging.getLogger("uvicorn.error").info("started")
    finally:
        root.handlers = handlers
        root.setLevel(before)
    assert [json.loads(line)["message"] for line in written.getvalue().splitlines()] == (
        [] if level == "WARNING" else ["started"]
    )


TICKET = "XTh0R6f0C1oQ1pVbQ3vWbU3C0mJq3d1g2n4kQe8m2yA"
JWT = "eyJhbGciOiJFUzI1NiJ9.eyJzdWIiOiJ1LTEifQ.c2lnbmF0dXJl"


@pytest.mark.parametrize(
    "text", [f"/sse/orders/1?ticket={TICKET}&x=1", f"GETDEL ticket:{TICKET}", f"?ticket%3d{TICKET}", f"Bearer {JWT}"]
)
def test_a_ticket_or_token_in_a_message_or_an_exception_is_withheld(stream: io.StringIO, text: str) -> None:
    log.warning("no answer to %s", text)
    log.warning("no answer", extra={"about": text})
    try:
        raise OSError(text)
    except OSError:
        log.exception("failed")
    for secret in (TICKET, JWT, JWT.split(".")[1]):
        assert secret not in stream.getvalue()
    assert len(lines(stream)) == 3
    assert "OSError" in lines(stream)[2]["exc_info"]


def test_what_is_no_id_is_withheld(stream: io.StringIO) -> None:
    log.warning("refused", extra={"email": "a@b.example", "Authorization": "Bearer x", "buyerId": "7"})
    (line,) = lines(stream)
    assert (line["email"], line["Authorization"], line["buyerId"]) == ("withheld", "withheld", "7")


def test_a_filtered_line_is_never_put_together(stream: io.StringIO) -> None:
    class Costly:
        def __str__(self) -> str:
            raise AssertionError("put together")

    log.debug("%s", Costly())
    assert stream.getvalue() == ""


async def test_a_batch_that_many_share_does_not_log_as_the_first_of_them(stream: io.StringIO) -> None:
    async def run(orders: list[str]) -> list[None]:
        log.info("wrote %d", len(orders))
        return [None] * len(orders)

    batcher: Batcher[str, None] = Batcher(run)

    async def submit(order: str) -> None:
        bind(orderId=order)
        await batcher.submit(order)

    await asyncio.gather(submit("o-1"), submit("o-2"))
    (line,) = lines(stream)
    assert line["message"] == "wrote 2"
    assert "orderId" not in line


Started = Callable[[Path], io.StringIO]


@pytest.fixture
def started() -> Iterator[Started]:
    """Provide a function that starts logging to a file too; end it after the test."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    root.handlers = []

    def start(file: Path) -> io.StringIO:
        written = io.StringIO()
        logs.start("INFO", written, str(file))
        return written

    yield start
    for handler in root.handlers:
        handler.close()
    root.handlers = handlers
    root.setLevel(level)


def test_the_log_goes_to_a_file_too_each_line_once_readable_by_its_owner_and_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, started: Started
) -> None:
    monkeypatch.setattr(logs, "FILE_BYTES", 2000)
    file = tmp_path / "worker-0.log"
    stream = started(file)
    for number in range(100):
        log.warning("line %d %s", number, "half a pair: \udc80")
    written = [line for part in (tmp_path / "worker-0.log.1", file) for line in part.read_text().splitlines()]
    output = stream.getvalue().splitlines()
    assert output[-len(written) :] == written
    assert len(output) == 100
    assert {path.stat().st_mode & 0o077 for path in tmp_path.iterdir()} == {0}
    assert sum(path.stat().st_size for path in tmp_path.iterdir()) <= 4000


def test_a_log_file_that_cannot_be_written_costs_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], started: Started
) -> None:
    stream = started(tmp_path / "nowhere" / "worker-0.log")
    log.warning("it goes on")
    assert "it goes on" in stream.getvalue()
    assert capsys.readouterr().err == ""
