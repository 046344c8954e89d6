"""Installs and starts what ``./scripts/up --with`` names, so that a plain start stays small."""

import os
import subprocess
import sys
import time
from collections.abc import Callable, Collection, Mapping
from pathlib import Path

from pulsecart.admin.which_shop import ROOT
from pulsecart.bridges.pubsub import library
from pulsecart.local.cannot_start import CannotStart
from pulsecart.local.child import Pause
from pulsecart.local.pubsub_emulator import PubSubEmulator

NAMES = ("pubsub",)
PROJECT = "pulsecart"


class Profiles:
    """
    The chosen profiles of one shop.

    Args:
        given: the caller's environment, whose settings stay.
        data: directory of the shop, for logs.
        say: receives a sentence for each action.
    """

    def __init__(
        self,
        names: Collection[str],
        given: Mapping[str, str],
        data: Path,
        say: Callable[[str], None],
        pause: Pause = time.sleep,
    ) -> None:
        self._names = names
        self._given = given
        self._data = data
        self._say = say
        self._pause = pause
        self.environ: dict[str, str] = {}
        self.servers: list[PubSubEmulator] = []

    def start(self) -> None:
        """
        Install the packages of the profiles, and start their servers; ``environ`` then has their settings.

        Raises:
            CannotStart: with what to install.
        """
        if "pubsub" in self._names:
            self._start_pubsub()

    def stop(self) -> None:
        for server in self.servers:
            server.stop()

    def _start_pubsub(self) -> None:
        host, project = self._given.get("PUBSUB_EMULATOR_HOST", ""), self._given.get("PUBSUB_PROJECT", "")
        if host:
            self._say(f"using the emulator of Pub/Sub that PUBSUB_EMULATOR_HOST names ({host})")
        elif project:
            self._say(f"using Google's Pub/Sub, project {project}")
        else:
            host = self._start_emulator()
        made = {"PUBSUB_PROJECT": project or PROJECT, "PUBSUB_EMULATOR_HOST": host}
        if host:
            made["PUBSUB_CREATE_TOPICS"] = "true"
        self.environ = {**made, **{name: self._given[name] for name in made if self._given.get(name)}}
        self.environ["PROFILES"] = "pubsub"
        if place := packages("pubsub"):
            self.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (place, self._given.get("PYTHONPATH"))))

    def _start_emulator(self) -> str:
        began = time.monotonic()
        emulator = PubSubEmulator(self._data / "pubsub.log")
        emulator.prepare(self._pause)
        emulator.spawn()
        self.servers.append(emulator)
        emulator.wait_ready(self._pause)
        self._say(f"{emulator.name} answered at {emulator.host} after {time.monotonic() - began:.1f} s")
        return emulator.host


def packages(profile: str) -> str:
    """
    Return the directory with the packages of a profile, which are installed once; empty if they are part of the
    environment, as in the one for development.

    Raises:
        CannotStart: they cannot be installed; the reason was printed.
    """
    if library.installed():
        return ""
    link = Path(os.environ.get("PULSECART_VENV") or ROOT / ".venv")
    command = [sys.executable, ROOT / "scripts" / "make_venv.py", ROOT, link, profile, "--beside"]
    done = subprocess.run([str(part) for part in command], stdout=subprocess.PIPE, text=True, check=False)
    if done.returncode:
        raise CannotStart(f"the packages of the profile {profile} could not be installed; the reason is above")
    return done.stdout.strip()
