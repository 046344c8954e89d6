"""Writes logs as JSON, one object per line, with its context: operation, orderId, traceId, userId, eventType."""

import json
import logging
import os
import re
import sys
from collections.abc import Mapping
from contextvars import ContextVar
from datetime import UTC, datetime
from io import TextIOWrapper
from logging.handlers import RotatingFileHandler
from typing import Any, Self, TextIO

from pythonjsonlogger.msgspec import MsgspecFormatter

from pulsecart.runtime.event import CloudEvent
from pulsecart.runtime.telemetry import stall, tracing

# Logs hold no personal data except ids, and no secrets.
WITHHELD = frozenset(
    (
        *("address", "card", "email", "name", "phone"),
        *("authorization", "cookie", "password", "secret", "session", "signature", "ticket", "token"),
    )
)
FILE_BYTES = 10 * 1024 * 1024
AGGREGATES = {"order": "orderId", "payment": "orderId", "inventory": "productId", "pricing": "saleId"}
# A WebSocket's or stream's query holds a one-time ticket; any client input may hold a JWT.
SECRETS = re.compile(r"(?<=ticket[=:])[\w%.~-]{6,}|(?<=ticket%3[Dd])[\w%.~-]{6,}|\beyJ[\w-]{8,}\.[\w-]+\.[\w-]*")
_about: "ContextVar[Mapping[str, str | None]]" = ContextVar("about", default={})  # noqa: B039  # never written to


class bind:
    """
    Adds ids to all later log records of this task; ``with bind(orderId=…):`` limits it to the block.

    Args:
        ids: ``orderId``, ``userId``, ``eventType`` and other ids; None omits an id.
    """

    __slots__ = ("_token",)

    def __init__(self, **ids: str | None) -> None:
        self._token = _about.set({**_about.get(), **ids})

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        _about.reset(self._token)


def bind_event(event: CloudEvent) -> bind:
    """Add the event's type, source and id, and its aggregate's id, to all later log records of this task."""
    words = event.type.split(".", 2)
    kind = AGGREGATES.get(words[1]) if len(words) == 3 else None
    named = {kind: event.subject} if kind else {}
    return bind(eventType=event.type, eventSource=event.source, eventId=event.id, **named)


def start(level: str = "INFO", stream: TextIO | None = None, file: str = "") -> None:
    """
    Make every logger of this process, uvicorn's included, write JSON lines to ``stream`` (default: standard error).

    Args:
        file: an additional log file, rotated at FILE_BYTES to ``<file>.1``; empty for none.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(stream or sys.stderr)]
    if file:
        handlers.append(PrivateFile(file, maxBytes=FILE_BYTES, backupCount=1, encoding="utf-8", delay=True))
    for handler in handlers:
        handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=handlers, force=True)
    for name in ("uvicorn", "uvicorn.error", "uvicorn.access"):
        logger = logging.getLogger(name)
        logger.handlers.clear()
        logger.propagate = True
        # Below INFO they log each connection's address, and the request head of every WebSocket.
        logger.setLevel(max(logging.INFO, logging.getLogger().level))
    for name in ("httpx", "httpcore", "websockets"):  # they log every URL, queries included
        logging.getLogger(name).setLevel(logging.WARNING)


class PrivateFile(RotatingFileHandler):
    """Writes a log file that only its owner can read; a full disk loses only its lines, also on standard error."""

    def _open(self) -> TextIOWrapper:
        def privately(path: str, flags: int) -> int:
            return os.open(path, flags, 0o600)

        return open(self.baseFilename, self.mode, encoding=self.encoding, opener=privately)  # type: ignore[return-value]  # text mode

    def handleError(self, record: logging.LogRecord) -> None:
        """Ignore the error: a report for each lost line would flood the terminal."""


class JsonLines(MsgspecFormatter):
    """Formats records as JSON lines; reads the bound ids only for records written, so filtered ones cost nothing."""

    def __init__(self) -> None:
        super().__init__(fmt=["message"])

    def add_fields(self, log_data: dict[str, Any], record: logging.LogRecord, message_dict: dict[str, Any]) -> None:
        """
        Add ``time`` (RFC 3339, UTC, ms), ``level``, ``logger``, ``message``, the bound ids, the call's ``extra``, and
        ``exception``.
        """
        log_data["time"] = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        log_data["level"] = record.levelname
        log_data["logger"] = record.name
        if operation := stall.current():
            log_data["operation"] = operation
        if traceparent := tracing.current():
            log_data["traceId"] = tracing.trace_id(traceparent)
        log_data.update({key: value for key, value in _about.get().items() if value is not None})
        super().add_fields(log_data, record, message_dict)
        log_data.pop("color_message", None)  # uvicorn's, for terminals
        for key in log_data:
            if key.lower() in WITHHELD:
                log_data[key] = "withheld"

    def format(self, record: logging.LogRecord) -> str:
        """Format a record as one line without secrets and without client addresses."""
        if record.name.startswith("uvicorn"):
            record = _without_the_client(record)
        return SECRETS.sub("withheld", super().format(record))

    def jsonify_log_record(self, log_data: dict[str, Any]) -> str:
        """Encode as JSON; text with lone surrogates is escaped, so that the record is not lost."""
        try:
            return super().jsonify_log_record(log_data)
        except UnicodeEncodeError:
            return json.dumps(log_data, default=str)


def _without_the_client(record: logging.LogRecord) -> logging.LogRecord:
    """
    Replace uvicorn's access records by records without the client's address and query: uvicorn logs
    ``client - "GET /path?query HTTP/1.1" 200`` and ``client - "WebSocket /path?query" 403``.
    """
    args = record.args if isinstance(record.args, tuple) else ()
    if record.name == "uvicorn.access" and len(args) == 5:
        message, (_client, method, target, _version, status) = "request", args
    elif '"WebSocket %s"' in str(record.msg) and len(args) in (2, 3):
        message, method, target, status = "websocket", "GET", args[1], args[2] if len(args) == 3 else None
        status = status or (101 if "accepted" in record.msg else 403)
    else:
        return record
    path = str(target).partition("?")[0]
    shortened = logging.LogRecord(record.name, record.levelno, record.pathname, record.lineno, message, None, None)
    shortened.created, shortened.msecs = record.created, record.msecs
    shortened.__dict__.update(method=method, path=path, status=status)
    return shortened
