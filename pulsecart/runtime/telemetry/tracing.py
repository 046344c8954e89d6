"""One trace from POST to the live stream's message: W3C Trace Context always, OpenTelemetry spans where switched on.

Switched off (no OTEL_EXPORTER_OTLP_ENDPOINT), the SDK is never imported, and a span only passes its traceparent on.
"""

import re
import sys
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar, Token
from random import getrandbits
from typing import Any, Protocol, Self

_FORM = re.compile(r"(?!ff)[0-9a-f]{2}-(?!0{32})[0-9a-f]{32}-(?!0{16})[0-9a-f]{16}-[0-9a-f]{2}")
_LEVEL_1 = 55  # characters; a later version may have more behind them
_current: ContextVar[str] = ContextVar("traceparent", default="")

Attributes = Mapping[str, str | int | float | bool]


class Tracer(Protocol):
    """What makes real spans: ``pulsecart.runtime.telemetry.otel`` when switched on."""

    def begin(
        self, name: str, parent: str, attributes: Attributes | None, links: tuple[str, ...]
    ) -> tuple[Any, str]: ...

    def close(self) -> None: ...


class _Switch:
    tracer: Tracer | None = None


def on() -> bool:
    """Whether spans are recorded."""
    return _Switch.tracer is not None


def start(endpoint: str, service: str = "pulsecart") -> None:
    """
    Record spans and send them by OTLP over HTTP; with an empty ``endpoint`` do nothing at all.

    Args:
        endpoint: of the collector, e.g. ``http://127.0.0.1:4318``; ``/v1/traces`` is added.
    """
    if endpoint:
        from pulsecart.runtime.telemetry.otel import exporting

        _Switch.tracer = exporting(endpoint, service)


def record_with(tracer: Tracer | None) -> None:
    """Record spans by ``tracer``, or no longer (None)."""
    _Switch.tracer = tracer


def stop() -> None:
    """Send what is still here; waits a few seconds at most."""
    tracer, _Switch.tracer = _Switch.tracer, None
    if tracer is not None:
        tracer.close()


def parsed(header: str | None) -> str | None:
    """``header`` where it is a traceparent by W3C Trace Context, else None: a bad one is as good as none."""
    if header is None or len(header) < _LEVEL_1:
        return None
    if len(header) > _LEVEL_1 and (header[:2] == "00" or header[_LEVEL_1] != "-"):
        return None
    return header[:_LEVEL_1] if _FORM.match(header) else None


def new_traceparent() -> str:
    """A trace of its own; not sampled, as nobody recorded its beginning."""
    return f"00-{getrandbits(128):032x}-{getrandbits(64):016x}-00"  # no secret; the system's took 9 µs an order


def current() -> str | None:
    """The traceparent of the innermost span, None outside of any."""
    return _current.get() or None


def trace_id(traceparent: str) -> str:
    """The 32 hexadecimal digits that every span of one trace shares."""
    return traceparent[3:35]


class span:
    """
    ``with span("checkout.purchase", traceparent=…) as s`` — or ``begin()`` and ``end()`` where no block fits.

    Args:
        traceparent: of the parent, as it came; None: the span around this one; a bad one, or none: a new trace.
        attributes: what is looked for later: ``order.id``, ``event.type``; never more of a person than an id.
        links: traceparents of all that led here (a batch's requests); a span with links begins a trace.
    """

    __slots__ = ("_attributes", "_links", "_name", "_recorded", "_token", "traceparent")

    traceparent: str
    _token: Token[str]

    def __init__(
        self,
        name: str,
        traceparent: str | None = None,
        attributes: Attributes | None = None,
        links: tuple[str, ...] = (),
    ) -> None:
        self._name = name
        self._attributes = attributes
        self._links = links
        self._recorded: Any = None
        self.traceparent = parsed(traceparent) or ("" if links else _current.get())

    def begin(self) -> Self:
        """Start it without making it the current one."""
        tracer = _Switch.tracer
        if tracer is not None:
            self._recorded, self.traceparent = tracer.begin(self._name, self.traceparent, self._attributes, self._links)
        elif not self.traceparent:
            self.traceparent = new_traceparent()
        return self

    def set(self, key: str, value: str | int | float | bool) -> None:
        """Add an attribute known only now."""
        if self._recorded is not None:
            self._recorded.set_attribute(key, value)

    def end(self, error: BaseException | None = None) -> None:
        """Finish it; ``error`` marks it failed."""
        if self._recorded is not None:
            if error is not None:
                self._recorded.add_event("exception", {"exception.type": type(error).__name__})  # its text may say more
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
    One run for many requests, such as a group commit: a span of its own, linked to every request, and in each
    request's trace a child that lasts as long. Nothing at all when off.
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
