"""Checks the cluster's prerequisites before anything is applied."""

import json
import re
from collections.abc import Sequence

from tools.deploy.cluster import CannotDeploy, Object, found, kubectl, named, references
from tools.deploy.overlay import containers

# 1.14 of both: the oldest release that enables Trigger filters by default and has every feature eventing/ uses.
LEAST = (0, 41)
LEAST_NAMED = "1.14"
PARTS = (
    ("Serving", "services.serving.knative.dev"),
    ("Eventing", "triggers.eventing.knative.dev"),
)
INSTALL = "https://knative.dev/docs/install/"
EXAMPLES = {
    "DATABASE_URL": "postgresql://user:password@host/database",
    "REDIS_URL": "redis://:password@host:6379/0",
    "MIGRATION_DATABASE_URL": "postgresql://owner:password@host/database",
    "SESSION_SECRET": '"$(openssl rand -base64 32)"',
    "METRICS_TOKEN": '"$(openssl rand -hex 24)"',
    "EVENT_KEYS": '"$(openssl rand -base64 32)"',
    "WEBHOOK_KEYS": '"$(openssl rand -base64 32)"',
}
SECRET_KEYS = {
    "pulsecart-database": "DATABASE_URL",
    "pulsecart-redis": "REDIS_URL",
    "pulsecart-session": "SESSION_SECRET",
    "pulsecart-metrics": "METRICS_TOKEN",
    "pulsecart-migrations": "MIGRATION_DATABASE_URL",
    "pulsecart-events": "EVENT_KEYS",
    "pulsecart-webhooks": "WEBHOOK_KEYS",
}
JETSTREAM = "config-natjsm-channel"
FEATURES = "the ConfigMap config-features of knative-eventing"


def knative() -> None:
    """
    Raises:
        CannotDeploy: a part of Knative is absent or too old.
    """
    try:
        kubectl("version", "-o", "json")
    except CannotDeploy as why:
        raise CannotDeploy(f"no cluster answers: {why}\nKUBECONFIG selects the cluster.") from None
    for part, crd in PARTS:
        there = found("crd", crd)
        if there is None:
            raise CannotDeploy(f"Knative {part} is not installed on this cluster ({crd} is unknown): {INSTALL}")
        version = (there["metadata"].get("labels") or {}).get("app.kubernetes.io/version", "")
        if too_old(version):
            raise CannotDeploy(f"Knative {part} {version} is too old: {LEAST_NAMED} or newer is required: {INSTALL}")


def too_old(version: str) -> bool:
    """Compare a version in Knative's manifests, ``1.21.0`` or ``0.48.2``; a custom build's ``devel`` is accepted."""
    numbers = re.match(r"v?(\d+)\.(\d+)", version)
    if not numbers:
        return False
    major, minor = int(numbers[1]), int(numbers[2])
    return minor < 14 if major == 1 else (major, minor) < LEAST


def secrets(documents: Sequence[Object], namespace: str) -> None:
    """
    Raises:
        CannotDeploy: a referenced Secret is neither in the overlay nor in the cluster, or lacks its key.
    """
    brought = {one["metadata"]["name"] for one in documents if one["kind"] == "Secret"}
    referred = references(documents, "secretRef", "secretKeyRef")
    needed = {one["name"] for one in referred if not one.get("optional")}
    missing = []
    for name in sorted(needed - brought):
        there = found("secret", name, namespace)
        key = SECRET_KEYS.get(name, "")
        if there is None or (key and key not in (there.get("data") or {})):
            missing.append(
                f"Secret {name} {f'has no {key}' if there else 'is missing'} in namespace {namespace}: create it with\n"
                f"  kubectl -n {namespace} create secret generic {name} --from-literal={key}={EXAMPLES.get(key, '…')}"
            )
    if missing:
        raise CannotDeploy("\n".join(missing))


def same_brokers(documents: Sequence[Object], namespace: str) -> None:
    """
    Raises:
        CannotDeploy: a Broker exists with another class or channel, which Knative does not allow to change.
    """
    for wanted in documents:
        if wanted["kind"] != "Broker":
            continue
        name = wanted["metadata"]["name"]
        there = found("brokers.eventing.knative.dev", name, namespace)
        if there is None:
            continue
        for what, wanted_value, has in zip(
            ("class", "channel"), _class_and_channel(wanted), _given(there), strict=True
        ):
            if wanted_value != has:
                raise CannotDeploy(
                    f"{named(wanted)} has the {what} {has or 'that is the default'}, but the overlay needs "
                    f"{wanted_value or 'the default'}. Knative cannot change it: `kubectl -n {namespace} delete broker "
                    f"{name}`, then deploy again. Events that are committed meanwhile wait in the log."
                )


def identities(documents: Sequence[Object]) -> None:
    """
    Raises:
        CannotDeploy: the overlay and the cluster's Knative Eventing disagree on whether senders are authenticated.
    """
    if not any(one["kind"] == "Broker" for one in documents):
        return
    features = (found("configmap", "config-features", "knative-eventing") or {}).get("data") or {}
    authenticates = features.get("authentication-oidc", "").lower() == "enabled"
    policies = [named(one) for one in documents if one["kind"] == "EventPolicy"]
    if policies and not authenticates:
        raise CannotDeploy(
            f"the overlay has {policies[0]}, but Knative Eventing does not authenticate senders on this cluster, so "
            f"that no Broker with a policy becomes Ready. Set authentication-oidc: enabled in {FEATURES}, or leave "
            "components/event-policy out."
        )
    if authenticates and any(_class_and_channel(one)[1] == JETSTREAM for one in documents if one["kind"] == "Broker"):
        raise CannotDeploy(
            "Knative Eventing authenticates senders on this cluster, but JetStream channels send its broker's filter "
            "no identity: it would reject every event, and they would drop it. Leave components/broker-jetstream out, "
            f"or set authentication-oidc: disabled in {FEATURES}."
        )
    if authenticates and not any("BROKER_TOKEN_FILE" in _names_of_env(one) for one in documents):
        raise CannotDeploy(
            "Knative Eventing authenticates senders on this cluster, but the overlay's relay has no identity: "
            "add components/event-policy. Events that are committed meanwhile wait in the log."
        )


def _names_of_env(document: Object) -> set[str]:
    return {one["name"] for container in containers(document) for one in container.get("env", ())}


def _given(broker: Object) -> tuple[str, str]:
    """Return the class and channel as applied, without Knative's defaults."""
    applied = (broker["metadata"].get("annotations") or {}).get("kubectl.kubernetes.io/last-applied-configuration")
    return _class_and_channel(json.loads(applied) if applied else broker)


def _class_and_channel(broker: Object) -> tuple[str, str]:
    annotations = broker["metadata"].get("annotations") or {}
    config = (broker.get("spec") or {}).get("config") or {}
    return annotations.get("eventing.knative.dev/broker.class", ""), config.get("name", "")
