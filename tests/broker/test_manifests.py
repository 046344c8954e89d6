"""eventing/*.yaml is read as Knative reads it; an unsupported part stops the start with file, line and reason."""

from pathlib import Path

import pytest

from pulsecart.broker.manifests.eventing import Eventing, Misconfigured, load, load_all

ROOT = Path(__file__).resolve().parents[2]
SERVICES = ["reserve", "keep-dead-letter"]
BROKER = (ROOT / "eventing" / "broker.yaml").read_text("utf-8")
TRIGGER = """apiVersion: eventing.knative.dev/v1
kind: Trigger
metadata:
  name: reserve-order
spec:
  broker: default
  subscriber:
    ref:
      apiVersion: serving.knative.dev/v1
      kind: Service
      name: reserve
    uri: /reserve-order
"""
SINK = "deadLetterSink: {ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: keep-dead-letter}}"
PING = """apiVersion: sources.knative.dev/v1
kind: PingSource
metadata: {name: sweep}
spec:
  schedule: "*/5 * * * *"
  timezone: Europe/Berlin
  contentType: application/json
  data: '{"a": 1}'
  sink:
    ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: reserve}
    uri: /sweep
"""


def read(directory: Path, text: str) -> Eventing:
    (directory / "broker.yaml").write_text(BROKER, "utf-8")
    (directory / "x.yaml").write_text(text, "utf-8")
    return load(directory, SERVICES)


def test_a_trigger_gets_the_brokers_delivery_and_its_services_address(tmp_path: Path) -> None:
    (trigger,) = read(tmp_path, TRIGGER).triggers
    assert trigger.name == "reserve-order"
    assert trigger.subscriber.service == "reserve"
    assert trigger.subscriber.url == "http://reserve.default.svc.cluster.local/reserve-order"
    assert (trigger.delivery.retry, trigger.delivery.backoff_delay_s, trigger.delivery.exponential) == (10, 0.2, True)
    assert trigger.delivery.dead_letter_sink.service == "keep-dead-letter"
    assert trigger.concurrency == 64


def test_a_triggers_own_delivery_is_taken_as_a_whole(tmp_path: Path) -> None:
    own = f"  delivery:\n    {SINK}\n    timeout: PT1M30S\n"
    delivery = read(tmp_path, TRIGGER + own).triggers[0].delivery
    assert (delivery.retry, delivery.timeout_s, delivery.backoff_s(1)) == (0, 90.0, 0.0)


def test_a_ping_source_is_read_with_its_zone(tmp_path: Path) -> None:
    (source,) = read(tmp_path, PING).ping_sources
    assert source.source == "/apis/v1/namespaces/default/pingsources/sweep"
    assert source.data == b'{"a": 1}'
    assert source.sink.url == "http://reserve.default.svc.cluster.local/sweep"


def test_the_shops_own_eventing_directory_can_be_done() -> None:
    eventing = load_all()
    assert [broker.name for broker in eventing.brokers] == ["default"]


REF = "    ref: {apiVersion: serving.knative.dev/v1, kind: Service, name: reserve}\n"


def annotated(annotation: str) -> str:
    return TRIGGER.replace("order\nspec", f"order\n  annotations: {{{annotation}}}\nspec")


def added(text: str, line: str) -> str:
    return text + line + "\n"


REFUSED = {
    "kind": ("apiVersion: v1\nkind: ConfigMap\n", "x.yaml:1: ConfigMap of v1 is not supported. Allowed: Broker of"),
    "version": (TRIGGER.replace("/v1\nkind: Trigger", "/v1beta1\nkind: Trigger"), "x.yaml:1: Trigger of"),
    "field": (added(TRIGGER, "  colour: red"), "x.yaml:13: spec.colour is not supported. Allowed: broker, filter,"),
    "metadata": (TRIGGER.replace("metadata:\n", "metadata:\n  finalizers: []\n"), "x.yaml:4: metadata.finalizers"),
    "cesql": (added(TRIGGER, "  filters:\n  - cesql: type = 'x'"), "x.yaml:14: spec.filters[0].cesql: is not"),
    "dialect": (added(TRIGGER, "  filters:\n  - like: {type: x}"), "x.yaml:14: spec.filters[0].like is not supported"),
    "two dialects": (added(TRIGGER, "  filters: [{exact: {a: b}, prefix: {a: b}}]"), "exactly one of exact, prefix,"),
    "empty": (added(TRIGGER, "  filters: [{exact: {}}]"), "x.yaml:13: spec.filters[0] is empty"),
    "empty value": (added(TRIGGER, "  filters: [{exact: {type: ''}}]"), "type has no value"),
    "attribute": (added(TRIGGER, "  filter: {attributes: {Type: x}}"), "'Type' is not an attribute name"),
    "number": (added(TRIGGER, "  filter: {attributes: {sequence: 1}}"), "sequence is not text; put it in quotes"),
    "service": (TRIGGER.replace("name: reserve\n", "name: nobody\n"), "x.yaml:11: spec.subscriber.ref.name: there"),
    "broker": (TRIGGER.replace("broker: default", "broker: other"), "x.yaml:6: spec.broker: no such Broker"),
    "no broker": (TRIGGER.replace("  broker: default\n", ""), "x.yaml:6: spec.broker is missing"),
    "path": (TRIGGER.replace("uri: /reserve-order", "uri: /"), "its uri must end in /reserve-order"),
    "twice": (TRIGGER + "---\n" + TRIGGER, "x.yaml:14: a Trigger named reserve-order is also at"),
    "key twice": (added(TRIGGER, "  broker: default"), "x.yaml:13: spec.broker occurs twice"),
    "no sink": (added(TRIGGER, "  delivery: {retry: 3}"), "x.yaml:13: spec.delivery.deadLetterSink is missing"),
    "half a backoff": (added(TRIGGER, f"  delivery: {{{SINK}, backoffDelay: PT1S}}"), "work only together"),
    "policy": (
        added(TRIGGER, f"  delivery: {{{SINK}, backoffPolicy: random, backoffDelay: PT1S}}"),
        "is 'random'. Allowed: linear, exponential",
    ),
    "duration": (added(TRIGGER, f"  delivery: {{{SINK}, timeout: 5s}}"), "'5s' is not an ISO 8601 duration"),
    "no time": (added(TRIGGER, f"  delivery: {{{SINK}, timeout: PT0S}}"), "must be longer than zero"),
    "retry": (added(TRIGGER, f"  delivery: {{{SINK}, retry: -1}}"), "retry: -1 is less than 0"),
    "format": (added(TRIGGER, f"  delivery: {{{SINK}, format: json}}"), "format: is experimental"),
    "annotation": (annotated("pulsecart.dev/x: y"), "pulsecart.dev/x: has no effect here"),
    "concurrency": (annotated("pulsecart.dev/concurrency: many"), "'many' is not a number from 1"),
    "schedule": (PING.replace("*/5 * * * *", "every day"), "x.yaml:5: spec.schedule: 'every day' is not cron"),
    "zone": (PING.replace("Europe/Berlin", "Mars/Olympus"), "timezone 'Mars/Olympus' is not known"),
    "sink": (PING.partition("  sink:")[0], "spec.sink is missing"),
    "relative": (PING.replace(REF, ""), "give a ref, or an absolute"),
    "yaml": ("a: [\n", "is not YAML"),
    "list": ("- a\n", "x.yaml:1: the document is not a mapping"),
}  # fmt: skip


@pytest.mark.parametrize("case", REFUSED)
def test_what_cannot_be_done_is_refused_with_its_line(tmp_path: Path, case: str) -> None:
    text, reason = REFUSED[case]
    with pytest.raises(Misconfigured) as error:
        read(tmp_path, text)
    assert reason in str(error.value)
    assert f"{tmp_path.name}/x.yaml:" in str(error.value)


def test_a_broker_without_a_dead_letter_sink_is_refused(tmp_path: Path) -> None:
    (tmp_path / "b.yaml").write_text(
        "apiVersion: eventing.knative.dev/v1\nkind: Broker\nmetadata: {name: default}\nspec:\n  delivery: {retry: 1}\n"
    )
    with pytest.raises(Misconfigured, match=r"b.yaml:5: spec.delivery.deadLetterSink is missing"):
        load(tmp_path, SERVICES)


def test_a_directory_without_manifests_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="has no"):
        load(tmp_path, SERVICES)
