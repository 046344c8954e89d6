"""Reads the parts that Brokers, Triggers and PingSources share, and rejects every unknown field."""

import re
from collections.abc import Collection
from dataclasses import dataclass

from pulsecart.broker import filters
from pulsecart.broker.delivery import TIMEOUT_S, Delivery, Destination
from pulsecart.broker.filters import Filter
from pulsecart.broker.manifests.strict_yaml import Block

CONCURRENCY = 64
CONCURRENCY_ANNOTATION = "pulsecart.dev/concurrency"
_ANNOTATIONS = (
    "eventing.knative.dev/broker.class",
    "kafka.eventing.knative.dev/delivery.order",
    CONCURRENCY_ANNOTATION,
)
_ATTRIBUTE = re.compile(r"[a-z][a-z0-9]*")


@dataclass(frozen=True, slots=True)
class Metadata:
    name: str
    namespace: str
    concurrency: int


def needed(block: Block, name: str) -> Block:
    inner = block.block(name)
    if inner is None:
        raise block.refuse(f"{block.path + '.' if block.path else ''}{name} is missing.")
    return inner


def metadata(document: Block) -> Metadata:
    block = needed(document, "metadata")
    name, namespace = block.name("name"), block.name("namespace", "default")
    block.texts("labels")
    annotations = block.block("annotations")
    block.done()
    return Metadata(name, namespace, CONCURRENCY if annotations is None else _concurrency(annotations))


def _concurrency(annotations: Block) -> int:
    for name in annotations.keys():  # noqa: SIM118  # not a dict
        annotations.text(name)
        if ("knative.dev/" in name or "pulsecart.dev/" in name) and name not in _ANNOTATIONS:
            raise annotations.refuse_field(name, f"has no effect here. Allowed: {', '.join(_ANNOTATIONS)}.")
    text = annotations.text(CONCURRENCY_ANNOTATION, str(CONCURRENCY))
    if not text.isdigit() or not 1 <= int(text) <= 1024:
        raise annotations.refuse_field(CONCURRENCY_ANNOTATION, f"{text!r} is not a number from 1 to 1024.")
    return int(text)


def delivery_of(block: Block, meta: Metadata, services: Collection[str]) -> Delivery:
    sink = block.block("deadLetterSink")
    if sink is None:
        raise block.refuse(
            f"{block.path}.deadLetterSink is missing: without one an event that fails for good is lost. "
            "A Trigger's delivery completely replaces its Broker's, also on Knative."
        )
    for name in ("retryAfterMax", "format"):
        block.refused(name, "is experimental and not supported.")
    if block.has("backoffPolicy") != block.has("backoffDelay"):
        raise block.refuse(f"{block.path}: backoffPolicy and backoffDelay work only together.")
    delivery = Delivery(
        dead_letter_sink=destination_of(sink, meta, services),
        retry=block.integer("retry", 0),
        exponential=block.text("backoffPolicy", "exponential", ("linear", "exponential")) == "exponential",
        backoff_delay_s=block.duration_s("backoffDelay", 0.0),
        timeout_s=block.duration_s("timeout", TIMEOUT_S),
    )
    if delivery.timeout_s <= 0:
        raise block.refuse_field("timeout", "must be longer than zero.")
    block.done()
    return delivery


def destination_of(block: Block, meta: Metadata, services: Collection[str]) -> Destination:
    ref, uri = block.block("ref"), block.text("uri", "")
    block.done()
    absolute = re.match(r"https?://[^/]+", uri) is not None
    if ref is None:
        if not absolute:
            raise block.refuse(f"{block.path}: give a ref, or an absolute http(s) uri.")
        return Destination(service=None, url=uri)
    if absolute or "://" in uri:
        raise block.refuse_field("uri", "must be a path if there is a ref, like /reserve-order.")
    ref.text("apiVersion", one_of=("serving.knative.dev/v1",))
    ref.text("kind", one_of=("Service",))
    service, namespace = ref.name("name"), ref.name("namespace", meta.namespace)
    ref.done()
    if service not in services:
        allowed = ", ".join(sorted(services))
        raise ref.refuse_field("name", f"there is no operation {service!r}. Allowed: {allowed}.")
    path = "/" + uri.lstrip("/") if uri else ""
    return Destination(service=service, url=f"http://{service}.{namespace}.svc.cluster.local{path}")


def filter_of(spec: Block) -> Filter:
    """Read the filter; ``filters`` takes precedence over ``filter``, as on Knative, and both are validated."""
    old, new = spec.block("filter"), spec.blocks("filters")
    wants: Filter = filters.everything
    if old is not None:
        wants = filters.attributes(_attributes(old, "attributes"))
        old.done()
    return filters.all_of([_dialect(block) for block in new]) if new else wants


def _dialect(block: Block) -> Filter:
    block.refused("cesql", "is not supported. Use exact, prefix, suffix, all, any and not.")
    if len(block.keys()) != 1:
        raise block.refuse(f"{block.path} needs exactly one of exact, prefix, suffix, all, any, not.")
    made: Filter | None = None
    for name, build in (("exact", filters.exact), ("prefix", filters.prefix), ("suffix", filters.suffix)):
        if wanted := _attributes(block, name, may_be_empty=False):
            made = build(wanted)
    for name, combine in (("all", filters.all_of), ("any", filters.any_of)):
        if parts := block.blocks(name):
            made = combine([_dialect(part) for part in parts])
    if (inner := block.block("not")) is not None:
        made = filters.negation(_dialect(inner))
    block.done()
    if made is None:
        raise block.refuse(f"{block.path} is empty.")
    return made


def _attributes(block: Block, name: str, may_be_empty: bool = True) -> dict[str, str]:
    wanted = dict(block.texts(name))
    for attribute, value in wanted.items():
        if not _ATTRIBUTE.fullmatch(attribute):
            raise block.refuse_field(
                name, f"{attribute!r} is not an attribute name. Allowed: a-z first, then a-z and 0-9."
            )
        if not value and not may_be_empty:
            raise block.refuse_field(name, f"{attribute} has no value.")
    return wanted
