"""Traces a request from POST to the live stream's message: W3C Trace Context always, OpenTelemetry spans if enabled.

If disabled (no OTEL_EXPORTER_OTLP_ENDPOINT), the SDK is never imported, and a span only propagates its traceparent.
"""

import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar, Token
from random import getrandbits
from typing import TYPE_CHECKING, Any, Protocol, Self

if TYPE_CHECKING:
    from pulsecart.runtime.telemetry.otel import Attributes

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LEVEL_1 = 55  # characters; later versions may append more
_current: ContextVar[str] = ContextVar("traceparent", default="")


class Tracer(Protocol):
    """Records spans; implemented by ``pulsecart.runtime.telemetry.otel``."""

    def begin(
        self, name: str, parent: str, attributes: "Attributes | None", links: tuple[str, ...]
    ) -> tuple[Any, str]: ...

    def close(self) -> None: ...


class _Switch:
    tracer: Tracer | None = None


def on() -> bool:
    """Return whether spans are recorded."""
    return _Switch.tracer is not None


def start(endpoint: str, service: str = "pulsecart") -> None:
    """
    Record spans and export them by OTLP over HTTP; do nothing if ``endpoint`` is empty.

    Args:
        endpoint: the collector's URL, e.g. ``http://127.0.0.1:4318``; ``/v1/traces`` is appended.
    """
    if endpoint:
        from pulsecart.runtime.telemetry.otel import exporting

        record_with(exporting(endpoint, service))


def record_with(tracer: Tracer | None) -> None:
    """Record spans with ``tracer``; None stops recording."""
    _Switch.tracer = tracer


def stop() -> None:
    """Stop recording and export the remaining spans; waits at most a few seconds."""
    tracer, _Switch.tracer = _Switch.tracer, None
    if tracer is not None:
        tracer.close()


def parsed(header: str | None) -> str | None:
    """Return the traceparent in ``header``; None if it is missing or invalid by W3C Trace Context."""
    if header is None or len(header) < _LEVEL_1:
        return None
    if len(header) > _LEVEL_1 and (header[:2] == "00" or header[_LEVEL_1] != "-"):
        return None
    return header[:_LEVEL_1] if _FORM.match(header) else None


def new_traceparent() -> str:
    """Start a new trace, marked as not sampled because its beginning was not recorded."""
    return f"00-{getrandbits(128):032x}-{getrandbits(64):016x}-00"  # not a secret; SystemRandom took 9 µs per order


def current() -> str | None:
    """Return the innermost span's traceparent; None outside of any span."""
    return _current.get() or None


def trace_id(traceparent: str) -> str:
    """Return the trace id: 32 hexadecimal digits, the same for every span of a trace."""
    return traceparent[3:35]


class span:
    """
    Records one span: ``with span("checkout.purchase", traceparent=…) as s``, or ``begin()`` and ``end()``.

    Args:
        traceparent: the parent's, as received. If None or invalid, the enclosing span is the parent; without one, a
            new trace starts.
        attributes: searchable values such as ``order.id``, ``event.type``; no personal data except ids.
        links: traceparents of all causes (a batch's requests); a span with links starts a new trace.
    """

    __slots__ = ("_attributes", "_links", "_name", "_recorded", "_token", "traceparent")

    traceparent: str
    _token: Token[str]

    def __init__(
        self,
        name: str,
        traceparent: str | None = None,
        attributes: "Attributes | None" = None,
        links: tuple[str, ...] = (),
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._links = links
        self._recorded: Any = None
        self.traceparent = parsed(traceparent) or ("" if links else _current.get())

    def begin(self) -> Self:
        """Start the span without making it the current one."""
        tracer = _Switch.tracer
        if tracer is not None:
            self._recorded, self.traceparent = tracer.begin(self._name, self.traceparent, self._attributes, self._links)
        elif not self.traceparent:
            self.traceparent = new_traceparent()
        return self

    def set(self, key: str, value: str | int | float | bool) -> None:
        """Add an attribute to a started span."""
        if self._recorded is not None:
            self._recorded.set_attribute(key, value)

    def end(self, error: BaseException | None = None) -> None:
        """End the span; ``error`` marks it as failed."""
        if self._recorded is not None:
            if error is not None:
                self._recorded.add_event("exception", {"exception.type": type(error).__name__})  # no personal data
                self._recorded.set_status(_failed(error))
            self._recorded.end()
            self._recorded = None

    def __enter__(self) -> Self:
        self.begin()
        self._token = _current.set(self.traceparent)
        return self

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        _current.reset(self._token)
        self.end(error)


@contextmanager
def shared(name: str, traceparents: Iterable[str | None]) -> Iterator[None]:
    """
    Record one run that serves many requests, such as a group commit; do nothing if tracing is disabled.

    The run gets its own span, linked to every request, and a child span of the same duration in each request's trace.
    """
    if not on():
        yield
        return
    parents = [valid for valid in map(parsed, traceparents) if valid]
    children = [span(name, parent).begin() for parent in parents]
    try:
        with span(f"{name} of {len(parents)}", links=tuple(parents)):
            yield
    finally:
        for child in children:
            child.end(sys.exception())


def _failed(error: BaseException) -> Any:
    from pulsecart.runtime.telemetry.otel import failed

    return failed(error)
