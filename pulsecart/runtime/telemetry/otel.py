"""Real spans. Imported only when tracing is switched on: the SDK costs some 15 MB and 100 ms."""

from typing import Any

from opentelemetry.sdk.resources import SERVICE_NAME, Resource
from opentelemetry.sdk.trace import SpanProcessor, TracerProvider
from opentelemetry.trace import (
    INVALID_SPAN,
    Link,
    NonRecordingSpan,
    Span,
    SpanContext,
    Status,
    StatusCode,
    TraceFlags,
    set_span_in_context,
)

from pulsecart.runtime.telemetry.tracing import Attributes


class SdkTracer:
    """
    Spans by a provider of our own: the process-wide one belongs to whoever embeds us.

    Args:
        processor: gets every finished span.
    """

    def __init__(self, processor: SpanProcessor, service: str = "pulsecart") -> None:
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("pulsecart")

    def begin(self, name: str, parent: str, attributes: Attributes | None, links: tuple[str, ...]) -> tuple[Span, str]:
        """The span, and the traceparent that makes others its children. ``parent`` is valid or empty."""
        around: Span = NonRecordingSpan(_context(parent)) if parent else INVALID_SPAN
        span = self._tracer.start_span(
            name,
            set_span_in_context(around),
            attributes=dict(attributes) if attributes else None,
            links=[Link(_context(link)) for link in links],
        )
        context = span.get_span_context()
        return span, f"00-{context.trace_id:032x}-{context.span_id:016x}-{int(context.trace_flags):02x}"

    def close(self) -> None:
        """Send what is still here."""
        self._provider.shutdown()


def exporting(endpoint: str, service: str) -> SdkTracer:
    """Spans sent in batches, by a thread of the SDK's own, to the collector at ``endpoint``."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    return SdkTracer(BatchSpanProcessor(exporter), service)


def failed(error: BaseException) -> Any:
    """A span's status after ``error``: its kind only, a message may hold what is no id."""
    return Status(StatusCode.ERROR, type(error).__name__)


def _context(traceparent: str) -> SpanContext:
    _, trace, parent, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(parent, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
