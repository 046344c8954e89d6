"""A trace passes through every step, recorded or not; switched off, OpenTelemetry is not even imported."""

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

from pulsecart.runtime.telemetry import tracing
from pulsecart.runtime.telemetry.otel import SdkTracer
from pulsecart.runtime.telemetry.tracing import current, new_traceparent, parsed, span, trace_id

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
from pulsecart.runtime.telemetry import tracing
tracing.start("")
with tracing.span("checkout", attributes={"order.id": "1"}) as s:
    s.set("status", 200)
tracing.stop()
print([name for name in sys.modules if name.startswith("opentelemetry")])
"""


def test_off_means_not_imported() -> None:
    run = subprocess.run([sys.executable, "-c", OFF], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_a_run_shared_by_many_requests_is_in_each_ones_trace_and_linked_to_all(spans: InMemorySpanExporter) -> None:
    other = GIVEN.replace("4bf9", "5bf9")
    with tracing.shared("group commit", [GIVEN, other, None, "garbage"]):
        assert len(spans.get_finished_spans()) == 0
    *mine, _, _ = finished = spans.get_finished_spans()
    (run,) = mine
    assert run.name == "group commit of 2"
    assert {f"{link.context.trace_id:032x}" for link in run.links} == {TRACE, TRACE.replace("4bf9", "5bf9")}
    assert {f"{context(s)[0]:032x}" for s in finished if s.name == "group commit"} == {trace_id(GIVEN), trace_id(other)}


def test_a_shared_run_that_fails_marks_every_requests_child(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ConnectionError), tracing.shared("group commit", [GIVEN]):
        raise ConnectionError
    assert {s.status.status_code for s in spans.get_finished_spans()} == {StatusCode.ERROR}


def test_a_shared_run_is_nothing_when_off() -> None:
    with tracing.shared("group commit", [GIVEN]):
        assert current() is None


def test_spans_within_a_span_are_its_children(spans: InMemorySpanExporter) -> None:
    with span("deliver pay", traceparent=GIVEN, attributes={"event.type": "order.confirmed"}), span("gateway.charge"):
        pass
    charge, delivery = spans.get_finished_spans()
    assert charge.parent is not None
    assert charge.parent.span_id == context(delivery)[1]
    assert delivery.parent is not None
    assert f"{delivery.parent.span_id:016x}" == GIVEN.split("-")[2]
    assert delivery.attributes == {"event.type": "order.confirmed"}


def test_an_error_marks_the_span_and_goes_on(spans: InMemorySpanExporter) -> None:
    with pytest.raises(ValueError, match="no"), span("reserve"):
        raise ValueError("no")
    (finished,) = spans.get_finished_spans()
    assert finished.status.status_code is StatusCode.ERROR
    assert finished.status.description == "ValueError"
    assert [dict(event.attributes or {}) for event in finished.events] == [{"exception.type": "ValueError"}]


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
