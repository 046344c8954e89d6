"""
``scripts/pins``: pins images by digest, and Knative's manifests by checksum.

``write`` fetches digests and checksums from registries and hosts and writes them into the files: ``name:tag@sha256:…``
for each image, and the checksum beside each URL of k8s/knative.sha256. ``check`` lists what is not pinned yet. With
``kubectl`` the Tiltfile installs Knative: a manifest with another checksum is not applied.
"""

import argparse
import hashlib
import re
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from tools.deploy.cluster import Object
from tools.deploy.image import ROOT
from tools.deploy.overlay import containers
from tools.deploy.registry import Unreachable, digest, fetch

MANIFESTS = Path("k8s", "knative.sha256")
UNPINNED = "-"
# The files that name third-party images: Docker builds on the first, the cluster pulls the others.
FILES = ("Dockerfile", "kind-cluster.yaml", "k8s/**/*.yaml")
_IMAGE = re.compile(
    r"^(?P<before>\s*(?:- )?(?:image:|FROM|# syntax=)\s*)"
    r"(?P<name>[a-z0-9][a-z0-9./:_-]*?:[\w.-]+)(?P<pin>@sha256:[0-9a-f]{64})?(?=\s|$)",
    re.MULTILINE,
)
_OURS = ("dev.local/", "registry.example.com/")


Say = Callable[[str], None]


class Image(NamedTuple):
    """An image name in a file, with its digest; empty if it is not pinned."""

    path: Path
    name: str
    pin: str


def images(root: Path = ROOT) -> list[Image]:
    """Return every third-party image that our files name."""
    paths = sorted(path for pattern in FILES for path in root.glob(pattern))
    return [
        Image(path.relative_to(root), match["name"], match["pin"] or "")
        for path in paths
        for match in _IMAGE.finditer(path.read_text())
        if not match["name"].startswith(_OURS)
    ]


def manifests(root: Path = ROOT) -> dict[str, str]:
    """URL → SHA-256 in hexadecimal, or UNPINNED."""
    lines = [line.split() for line in (root / MANIFESTS).read_text().splitlines() if line and not line.startswith("#")]
    return {url: checksum for checksum, url in lines}


def unpinned(root: Path = ROOT) -> list[str]:
    """Return the images and URLs without a digest or checksum, once each."""
    names = [one.name for one in images(root) if not one.pin]
    urls = [url for url, checksum in manifests(root).items() if checksum == UNPINNED]
    return list(dict.fromkeys([*names, *urls]))


def in_overlay(documents: Sequence[Object]) -> list[str]:
    """Return third-party images that an overlay's pods would pull without a digest."""
    named = {str(one.get("image", "")) for document in documents for one in containers(document)}
    return sorted(name for name in named if name and "@sha256:" not in name and not name.startswith(_OURS))


def write(root: Path, say: Say) -> int:
    """
    Fetch every digest and checksum, and write those received.

    Returns:
        The number of failures.
    """
    failed = 0
    for name in dict.fromkeys(one.name for one in images(root)):
        try:
            found = digest(name)
        except Unreachable as why:
            say(f"not pinned: {name}: {why}")
            failed += 1
        else:
            _pin_image(root, name, found)
            say(f"{name}@{found}")
    checksums = manifests(root)
    for url in checksums:
        try:
            checksums[url] = hashlib.sha256(fetch(url)).hexdigest()
            say(f"{checksums[url]}  {url}")
        except Unreachable as why:
            say(f"not pinned: {url}: {why}")
            failed += 1
    _write_manifests(root, checksums)
    return failed


def apply(kubectl: Sequence[str], root: Path, warn: Say) -> int:
    """
    Run ``kubectl … apply -f URL`` after comparing the manifest's checksum.

    Returns:
        kubectl's exit status; 1 if the manifest differs from the pinned checksum or cannot be fetched.
    """
    url = kubectl[-1]
    pinned = manifests(root).get(url, UNPINNED)
    if pinned == UNPINNED:
        warn(f"warning: {url} is not pinned by a checksum; run ./scripts/pins write")
        return subprocess.run(kubectl, check=False).returncode
    try:
        content = fetch(url)
    except Unreachable as why:
        warn(f"{url}: {why}")
        return 1
    found = hashlib.sha256(content).hexdigest()
    if found != pinned:
        warn(f"{url} differs from its pin: its SHA-256 is {found}, not {pinned}. Nothing of it was applied.")
        return 1
    with tempfile.NamedTemporaryFile(suffix=".yaml") as file:
        file.write(content)
        file.flush()
        return subprocess.run([*kubectl[:-1], file.name], check=False).returncode


def _pin_image(root: Path, name: str, found: str) -> None:
    for path in {one.path for one in images(root) if one.name == name}:
        text = (root / path).read_text()
        pinned = _IMAGE.sub(lambda m: f"{m['before']}{name}@{found}" if m["name"] == name else m[0], text)
        (root / path).write_text(pinned)


def _write_manifests(root: Path, checksums: dict[str, str]) -> None:
    path = root / MANIFESTS
    head = [line for line in path.read_text().splitlines() if line.startswith("#")]
    path.write_text("\n".join([*head, *(f"{checksum}  {url}" for url, checksum in checksums.items())]) + "\n")


def say(sentence: str) -> None:
    sys.stdout.write(f"{sentence}\n")
    sys.stdout.flush()


def warn(sentence: str) -> None:
    sys.stderr.write(f"{sentence}\n")


def main(given: Sequence[str] | None = None) -> int:
    """Return exit status 1 if ``write`` could not pin everything or ``apply`` did not apply."""
    parser = argparse.ArgumentParser(prog="scripts/pins", description="Pin images by digest and manifests by checksum.")
    parser.add_argument("--root", type=Path, default=ROOT, help=argparse.SUPPRESS)
    acts = parser.add_subparsers(required=True, dest="act")
    acts.add_parser("write", help="fetch digests and checksums, and write them into the files")
    acts.add_parser("check", help="list images and manifests without a pin")
    applying = acts.add_parser("kubectl", help="run kubectl … apply -f URL, if the manifest has the pinned checksum")
    applying.add_argument("arguments", nargs="*", metavar="… apply -f URL")
    words = list(sys.argv[1:] if given is None else given)
    at = words.index("kubectl") if "kubectl" in words else len(words)  # the rest is kubectl's, options included
    options = parser.parse_args(words[: at + 1])
    if options.act == "write":
        return bool(write(options.root, say))
    if options.act == "check":
        for one in unpinned(options.root):
            warn(f"warning: {one} is not pinned; run ./scripts/pins write")
        return 0
    if words[-3:-1] != ["apply", "-f"]:
        parser.error("scripts/pins kubectl supports only: … apply -f URL")
    return apply(words[at:], options.root, warn)


if __name__ == "__main__":
    sys.exit(main())
