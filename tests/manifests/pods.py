"""Copies standard input with each Knative Service replaced by its Deployment: kube-score knows no Knative."""

import sys
from typing import Any

import yaml


def deployment(service: dict[str, Any]) -> dict[str, Any]:
    name = service["metadata"]["name"]
    template = service["spec"]["template"]
    labels = {**template["metadata"].get("labels", {}), "serving.knative.dev/service": name}
    spec = {
        key: value for key, value in template["spec"].items() if key not in ("containerConcurrency", "timeoutSeconds")
    }
    return {
        "apiVersion": "apps/v1",
        "kind": "Deployment",
        "metadata": {"name": name, "namespace": service["metadata"]["namespace"]},
        "spec": {
            "selector": {"matchLabels": {"serving.knative.dev/service": name}},
            "template": {"metadata": {"labels": labels}, "spec": spec},
        },
    }


def main() -> None:
    documents = [one for one in yaml.safe_load_all(sys.stdin) if one]
    yaml.safe_dump_all(
        [deployment(one) if one["apiVersion"] == "serving.knative.dev/v1" else one for one in documents], sys.stdout
    )


if __name__ == "__main__":
    main()
