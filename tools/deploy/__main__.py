"""``scripts/deploy``: builds the image, applies the overlay, waits until Ready, prints the address or the problems."""

import argparse
import os
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from pulsecart.admin.which_shop import DATA
from pulsecart.local.issuer import NoIssuer, jwks_of
from tools.deploy import address, image, issuer, local, needs, overlay, pins, ready
from tools.deploy.cluster import CannotDeploy
from tools.deploy.time_budget import TIMEOUT_S, time_budget

DEMO = image.ROOT / "k8s" / "overlays" / "kind"


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def warn(sentence: str) -> None:
    sys.stderr.write(f"warning: {sentence}\n")


def arguments(given: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="scripts/deploy",
        description="Put PulseCart on the cluster that KUBECONFIG names, and wait until it is Ready.",
    )
    parser.add_argument("--overlay", type=Path, default=DEMO, metavar="DIR", help="what to deploy (k8s/overlays/kind)")
    parser.add_argument("--image", default="", help="use this image instead of building one")
    parser.add_argument(
        "--registry", default="", help="push the image to this registry, e.g. registry.example.com/shop"
    )
    parser.add_argument(
        "--loader",
        default=os.environ.get("IMAGE_LOADER", ""),
        metavar="COMMAND",
        help="instead of Docker: COMMAND IMAGE DIRECTORY loads an image into the cluster (IMAGE_LOADER)",
    )
    parser.add_argument(
        "--data",
        type=Path,
        default=DATA,
        metavar="DIR",
        help="the data directory with the token issuer that a development shop trusts (.data)",
    )
    parser.add_argument(
        "--timeout",
        type=_seconds,
        default=TIMEOUT_S,
        metavar="S",
        help=f"seconds that the cluster may take in total, without a build on this machine ({TIMEOUT_S:.0f})",
    )
    parser.add_argument(
        local.DEMO_ANYWHERE,
        action="store_true",
        help="deploy overlays/kind also on a cluster that is not on this machine",
    )
    return parser.parse_args(given)


def _seconds(text: str) -> float:
    seconds = float(text)
    if not 0 < seconds < float("inf"):
        raise argparse.ArgumentTypeError("must be a number of seconds above 0")
    return seconds


def _is_ours(overlay: Path) -> bool:
    return overlay.resolve() == DEMO.resolve()


def deploy(options: argparse.Namespace) -> None:
    """
    Raises:
        CannotDeploy: something is missing, or not Ready in time.
    """
    began = time.monotonic()
    time_budget.begin(options.timeout)
    needs.knative()
    documents = overlay.read(options.overlay)
    if not options.demo_on_this_cluster and (warning := local.check(documents, own=_is_ours(options.overlay))):
        warn(warning)
    for unpinned in pins.in_overlay(documents):
        warn(f"the image {unpinned} is not pinned by a digest; run ./scripts/pins write")
    namespace = overlay.namespace_of(documents)
    needs.secrets(documents, namespace)
    needs.same_brokers(documents, namespace)
    needs.identities(documents)
    with time_budget.paused():
        name = options.image or (
            image.load(options.loader, say) if options.loader else image.build(options.registry, say)
        )
    documents = overlay.with_image(documents, name, namespace)
    trusted = issuer.published(documents, namespace, jwks_of(options.data.resolve()))
    counted = Counter(line.rpartition(" ")[2] for line in overlay.apply([*trusted, *documents]))
    say(f"applied {options.overlay.name}: {', '.join(f'{count} {what}' for what, count in sorted(counted.items()))}")
    ready.wait(ready.watched(documents), namespace, say)
    say(f"all Ready after {time.monotonic() - began:.0f} s\n{address.of_shop(namespace)}")
    if trusted:
        say("it accepts the tokens of ./scripts/token; --role admin makes a token that may change the catalogue")


def main(given: Sequence[str] | None = None) -> int:
    try:
        deploy(arguments(given))
    except (CannotDeploy, NoIssuer) as why:
        sys.stderr.write(f"not deployed: {why}\n")
        return 1
    except KeyboardInterrupt:
        sys.stderr.write("interrupted; the applied objects stay, and Kubernetes continues to start them\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
