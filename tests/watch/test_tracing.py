"""A trace goes through everything, recorded or not; switched off, OpenTelemetry is not even imported."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from runtime.watch import tracing
from runtime.watch.otel import SdkTracer
from runtime.watch.tracing import current, new_traceparent, parsed, span, trace_id

TRACE = "4bf92f3577b34da6a3ce929d0e0e4736"
GIVEN = f"00-{TRACE}-00f067aa0ba902b7-01"


@pytest.fixture
def spans() -> Iterator[InMemorySpanExporter]:
    memory = InMemorySpanExporter()
    tracing.record_with(SdkTracer(SimpleSpanProcessor(memory)))
    yield memory
    tracing.stop()


def test_a_traceparent_that_came_is_passed_on_unchanged_when_off() -> None:
    with span("checkout.purchase", traceparent=GIVEN) as s:
        assert s.traceparent == GIVEN == current()
    assert current() is None


def test_an_order_without_a_traceparent_gets_a_trace_of_its_own_when_off() -> None:
    with span("checkout.purchase") as outer, span("commit") as inner:
        assert parsed(outer.traceparent) == outer.traceparent == inner.traceparent
    with span("checkout.purchase") as another:
        assert trace_id(another.traceparent) != trace_id(outer.traceparent)


@pytest.mark.parametrize(
    "header",
    [
        None,
        "",
        "garbage",
        GIVEN.upper(),
        GIVEN[:-1],
        f"ff-{TRACE}-00f067aa0ba902b7-01",
        f"00-{'0' * 32}-00f067aa0ba902b7-01",
        f"00-{TRACE}-{'0' * 16}-01",
        GIVEN + "-more",
        f"01-{TRACE}-00f067aa0ba902b7-01more",
        GIVEN + "\r\nx: y",
    ],
)
def test_a_broken_traceparent_is_as_good_as_none(header: str | None) -> None:
    assert parsed(header) is None
    with span("x", traceparent=header) as s:
        assert parsed(s.traceparent)


def test_a_later_versions_traceparent_is_read_as_far_as_it_is_known() -> None:
    assert parsed(f"01-{TRACE}-00f067aa0ba902b7-01-what-comes") == f"01-{TRACE}-00f067aa0ba902b7-01"


@given(st.text(alphabet="0123456789abcdef-\n Fg", max_size=70))
def test_whatever_passes_has_the_standards_form(text: str) -> None:
    header = parsed(text)
    if header is not None:
        version, trace, parent, flags = header.split("-")
        assert [len(part) for part in (version, trace, parent, flags)] == [2, 32, 16, 2]
        assert int(trace, 16)
        assert int(parent, 16)
        assert version != "ff"


def test_what_we_make_ourselves_is_valid_and_unsampled() -> None:
    made = new_traceparent()
    assert parsed(made) == made
    assert made.endswith("-00")


OFF = """
import sys
from runtime.watch import tracing
tracing.start("")
with tracing.span("checkout", attributes={"order.id": "1"}) as s:
    s.set("status", 200)
tracing.stop()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_off_means_not_imported() -> None:
    run = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_post_commit_delivery_and_stream_are_one_trace(spans: InMemorySpanExporter) -> None:
    with span("POST /api/v1/sync/purchase", traceparent=GIVEN) as request:
        stored = commit_batch([request.traceparent])[0]  # the order's row and its event carry this
    with span("deliver pay", traceparent=stored, attributes={"event.type": "order.confirmed"}) as delivery:
        assert current() == delivery.traceparent
        with span("gateway.charge"):
            pass
    with span("notify", traceparent=stored) as notified:
        message = {"traceparent": notified.traceparent}
    finished = {s.name: s for s in spans.get_finished_spans()}
    ours = [s for name, s in finished.items() if name != "group commit"]
    assert {f"{context(s)[0]:032x}" for s in ours} == {TRACE}
    assert parents(finished) == {
        "POST /api/v1/sync/purchase": "00f067aa0ba902b7",
        "commit": span_id(finished["POST /api/v1/sync/purchase"]),
        "deliver pay": span_id(finished["commit"]),
        "gateway.charge": span_id(finished["deliver pay"]),
        "notify": span_id(finished["commit"]),
    }
    assert [f"{link.context.trace_id:032x}" for link in finished["group commit"].links] == [TRACE]
    assert trace_id(message["traceparent"]) == TRACE
    assert message["traceparent"].split("-")[2] == span_id(finished["notify"])


def commit_batch(traceparents: list[str]) -> list[str]:
    """As a batch does it: one span of its own linked to every request, and one in each order's trace."""
    with span("group commit", links=tuple(traceparents)):
        orders = [span("commit", traceparent).begin() for traceparent in traceparents]
        for order in orders:
            order.end()
    return [order.traceparent for order in orders]


def test_an_error_marks_the_span_and_goes_on(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), span("reserve"):
        raise ValueError("no")
    (finished,) = spans.get_finished_spans()
    assert finished.status.status_code is StatusCode.ERROR
    assert finished.status.description == "ValueError"


def test_a_parent_that_was_not_sampled_is_followed(spans: InMemorySpanExporter) -> None:
    with span("checkout", traceparent=GIVEN[:-2] + "00") as s:
        assert trace_id(s.traceparent) == TRACE
        assert s.traceparent.endswith("-00")
    assert not spans.get_finished_spans()


def test_spans_reach_a_collector_by_otlp_over_http() -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None: ...

    server = HTTPServer(("127.0.0.1", 0), Collector)
    serving = threading.Thread(target=server.serve_forever, args=(0.01,))
    serving.start()
    try:
        tracing.start(f"http://127.0.0.1:{server.server_port}")
        with span("checkout.purchase", traceparent=GIVEN):
            pass
        tracing.stop()
    finally:
        server.shutdown()
        serving.join()
        server.server_close()
    assert [path for path, _ in received] == ["/v1/traces"]
    assert bytes.fromhex(TRACE) in received[0][1] or received[0][1][:2] == b"\x1f\x8b"


def context(s: ReadableSpan) -> tuple[int, int]:
    found = s.get_span_context()
    assert found is not None
    return found.trace_id, found.span_id


def span_id(s: ReadableSpan) -> str:
    return f"{context(s)[1]:016x}"


def parents(finished: dict[str, ReadableSpan]) -> dict[str, str]:
    return {name: f"{s.parent.span_id:016x}" for name, s in finished.items() if s.parent is not None}
