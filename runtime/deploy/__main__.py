"""``scripts/deploy``: image, overlay, Ready, address; or one sentence on each thing that is missing."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from runtime.deploy import address, image, issuer, needs, overlay, ready
from runtime.deploy.cluster import CannotDeploy
from runtime.dev_issuer import NoIssuer, jwks_of
from runtime.stack.running import DATA

TIMEOUT_S = 600.0


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy",
        description="Put PulseCart on the cluster that KUBECONFIG names, and wait until it is Ready.",
    )
    parser.add_argument("--overlay", type=Path, default=image.ROOT / "k8s" / "overlays" / "kind", metavar="DIR")
    parser.add_argument("--image", default="", help="use this one and build none")
    parser.add_argument("--registry", default="", help="push the image there, e.g. registry.example.com/shop")
    parser.add_argument(
        "--loader",
        default=os.environ.get("IMAGE_LOADER", ""),
        metavar="COMMAND",
        help="instead of Docker: COMMAND IMAGE DIRECTORY gives the cluster an image (IMAGE_LOADER)",
    )
    parser.add_argument(
        "--data", type=Path, default=DATA, metavar="DIR", help="whose tokens a development shop trusts (.data)"
    )
    parser.add_argument("--timeout", type=float, default=TIMEOUT_S, metavar="S")
    return parser.parse_args(given)


def deploy(asked: argparse.Namespace) -> None:
    """
    Raises:
        CannotDeploy: something is missing, or not Ready in time.
    """
    began = time.monotonic()
    needs.knative()
    documents = overlay.read(asked.overlay)
    namespace = overlay.namespace_of(documents)
    needs.secrets(documents, namespace)
    needs.same_brokers(documents, namespace)
    name = asked.image or (image.load(asked.loader, say) if asked.loader else image.build(asked.registry, say))
    overlay.with_image(documents, name, namespace)
    trusted = issuer.published(documents, namespace, jwks_of(asked.data.resolve()))
    counted = Counter(line.rpartition(" ")[2] for line in overlay.apply([*trusted, *documents]))
    say(f"applied {asked.overlay.name}: {', '.join(f'{count} {what}' for what, count in sorted(counted.items()))}")
    ready.wait(ready.watched(documents), namespace, asked.timeout, say)
    say(f"all Ready after {time.monotonic() - began:.0f} s\n{address.of_shop(namespace)}")
    if trusted:
        say("it trusts the tokens of ./scripts/token, with --role admin those of who keeps the catalogue")


def main(given: Sequence[str] | None = None) -> int:
    try:
        deploy(arguments(given))
    except (CannotDeploy, NoIssuer) as why:
        sys.stderr.write(f"not deployed: {why}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; what was applied stays, and Kubernetes goes on\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
