"""Records spans with OpenTelemetry's SDK; imported only if tracing is enabled, because it costs about 15 MB, 100 ms."""

from collections.abc import Mapping
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

Attributes = Mapping[str, str | int | float | bool]


class SdkTracer:
    """
    Records spans with its own provider: the process-wide one belongs to the embedding application.

    Args:
        processor: receives every finished span.
    """

    def __init__(self, processor: SpanProcessor, service: str = "pulsecart") -> None:
        self._provider = TracerProvider(resource=Resource.create({SERVICE_NAME: service}))
        self._provider.add_span_processor(processor)
        self._tracer = self._provider.get_tracer("pulsecart")

    def begin(self, name: str, parent: str, attributes: Attributes | None, links: tuple[str, ...]) -> tuple[Span, str]:
        """Start a span; return it and the traceparent for its children. ``parent`` must be valid or empty."""
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
        """Export the remaining spans."""
        self._provider.shutdown()


def exporting(endpoint: str, service: str) -> SdkTracer:
    """Create a tracer that exports spans in batches to the collector at ``endpoint``, in a thread of the SDK."""
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import BatchSpanProcessor

    exporter = OTLPSpanExporter(endpoint=f"{endpoint.rstrip('/')}/v1/traces")
    return SdkTracer(BatchSpanProcessor(exporter), service)


def failed(error: BaseException) -> Any:
    """Return a span's status after ``error``: only its class, because its message may hold personal data."""
    return Status(StatusCode.ERROR, type(error).__name__)


def _context(traceparent: str) -> SpanContext:
    _, trace, parent, flags = traceparent.split("-")
    return SpanContext(int(trace, 16), int(parent, 16), is_remote=True, trace_flags=TraceFlags(int(flags, 16)))
