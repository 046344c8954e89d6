"""Builds the image with Docker, or loads it into the cluster with another tool; a hash of its content names it."""

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path

from tools.deploy.cluster import CannotDeploy, kubectl

ROOT = Path(__file__).resolve().parents[2]
NAME = "pulsecart"
LOCAL = "dev.local"  # Knative resolves no digest at a registry for this host
SKIPPED = ("__pycache__", ".pyc")
Say = Callable[[str], None]


def files(root: Path = ROOT) -> list[Path]:
    """Return the files that ``.dockerignore`` includes, sorted."""
    lines = (root / ".dockerignore").read_text().splitlines()
    kept_out = [root / line for line in lines if line[:1].isalpha()]
    found: list[Path] = []
    for entry in (line[1:] for line in lines if line.startswith("!")):
        path = root / entry
        found += [path] if path.is_file() else [one for one in path.rglob("*") if one.is_file()]
    found = [path for path in found if not any(path.is_relative_to(folder) for folder in kept_out)]
    return sorted(path for path in found if not any(part in str(path) for part in SKIPPED))


def tag(root: Path = ROOT) -> str:
    """Return twelve hexadecimal digits: the same content has the same tag on every machine."""
    digest = hashlib.sha256()
    for path in [*files(root), root / "Dockerfile"]:
        digest.update(f"{path.relative_to(root)}\0{path.stat().st_size}\0".encode())
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def load(command: str, say: Say) -> str:
    """
    Load the image into the cluster with ``command IMAGE DIRECTORY``: DIRECTORY is the content of /app, with the
    packages' lock in requirements/image.lock.

    Returns:
        The image's name.
    """
    image = f"{LOCAL}/{NAME}:{tag()}"
    with tempfile.TemporaryDirectory() as directory:
        for path in files():
            target = Path(directory) / path.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, target)
        say(f"image: {command} {image}")
        _run([*command.split(), image, directory])
    return image


def build(registry: str, say: Say) -> str:
    """
    Args:
        registry: where to push the image; empty for a kind cluster, into which it is loaded directly.

    Returns:
        The image's name.

    Raises:
        CannotDeploy: Docker is missing, or the cluster cannot get the image from here.
    """
    if (
        shutil.which("docker") is None
        or subprocess.run(["docker", "info"], capture_output=True, check=False).returncode
    ):
        raise CannotDeploy(
            "no container engine answers `docker info`: start one, or give --image with an image that the "
            "cluster can pull, or --loader with a command that loads an image into it"
        )
    context = kubectl("config", "current-context").strip()
    image = f"{registry or LOCAL}/{NAME}:{tag()}"
    if not registry and not context.startswith("kind-"):
        raise CannotDeploy(
            f"the cluster of context {context} cannot use this machine's images: "
            "give --registry with a registry that it pulls from"
        )
    for base in re.findall(r"^FROM (\S+:\S+)", (ROOT / "Dockerfile").read_text(), re.MULTILINE)[:1]:
        if "@sha256:" not in base:
            say(f"warning: the base image {base} is not pinned by a digest; run ./scripts/pins write")
    say(f"image: docker build {image}")
    _run(["docker", "build", "--quiet", "--tag", image, str(ROOT)])
    if registry:
        _run(["docker", "push", "--quiet", image])
    else:
        _run(["kind", "load", "docker-image", image, "--name", context.removeprefix("kind-")])
    return image


def _run(command: list[str]) -> None:
    try:
        done = subprocess.run(command, stdout=subprocess.DEVNULL, env=os.environ, check=False)
    except OSError as why:
        raise CannotDeploy(f"{command[0]} cannot be started: {why.strerror}") from None
    if done.returncode:
        raise CannotDeploy(f"`{' '.join(command[:3])} …` failed; its output is above")
