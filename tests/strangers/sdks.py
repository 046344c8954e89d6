"""
The official CloudEvents SDKs as strangers: programs of their own that share nothing with PulseCart but HTTP.

Each is called with ``send URL``: it reads events as JSON lines (``events.py``), posts each, and prints for each its
number ``n``, the ``status`` and ``answer``, and the ``headers`` and ``body`` (base64) that the SDK had made. With
``receive HOST`` it prints its ``port``, and then for each event its number ``no`` where it has one, the ``attributes``
as the SDK read them, or the ``error`` that it met, and the body as ``data`` (base64); it ends when its input does.
"""

import asyncio
import hashlib
import json
import os
import shutil
import subprocess
import sys
import venv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple, Self

HERE = Path(__file__).parent
LOCK = HERE.parents[1] / "requirements" / "strangers.lock"
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "pulsecart-strangers"
MAKE_S = 300
SEND_S = 120
JAVASCRIPT_JSON = ("application/json", "application/json; charset=utf-8")  # read as text that begins so: [ { | "


class Missing(Exception):
    """What has to be installed, as a sentence."""


class Sdk(NamedTuple):
    """
    Args:
        digits: of a second's fraction survive in its times.
        reads: digits of a fraction, at most; of more, V8 takes ``.0091`` for ``.91``.
        decodes: whether it decodes percent signs.
        refuses_space: content types of JSON that it does not read where white space comes first.
    """

    name: str
    command: tuple[str, ...]
    env: Mapping[str, str]
    digits: int
    reads: int
    decodes: bool
    refuses_space: tuple[str, ...] = ()


def made(cache: Path) -> list[Sdk]:
    """
    All of them, installed and compiled below ``cache`` where they are not there yet.

    Raises:
        Missing: Go or Node is not installed.
    """
    require_tools()
    ours = {"PYTHONPATH": str(HERE)}
    return [
        Sdk("python1", (sys.executable, str(HERE / "python1.py")), ours, 6, 12, False),
        Sdk("python2", (str(_python2(cache)), str(HERE / "python2.py")), ours, 6, 12, True),
        Sdk("go", (str(_go(cache)),), {}, 9, 12, False),
        Sdk("javascript", ("node", str(_javascript(cache))), {}, 3, 9, False, JAVASCRIPT_JSON),
    ]


def require_tools() -> None:
    """
    Raises:
        Missing: Go or Node is not installed.
    """
    for tool, page in (
        ("go", "Go 1.23 or newer (https://go.dev/dl)"),
        ("npm", "Node 20 or newer (https://nodejs.org)"),
    ):
        if shutil.which(tool) is None:
            raise Missing(f"{tool} is not on the PATH: install {page}; the SDKs themselves are fetched by the test.")


def _python2(cache: Path) -> Path:
    home = home_of(cache, "python2", LOCK)
    if not (home / "ready").exists():
        venv.create(home, clear=True, with_pip=True)
        run(home / "bin" / "python", "-m", "pip", "install", "-q", "--no-deps", "--require-hashes", "-r", LOCK)
        (home / "ready").touch()
    return home / "bin" / "python"


def _go(cache: Path) -> Path:
    return go_program(cache, HERE / "go")


def go_program(cache: Path, source: Path) -> Path:
    """The program of this folder, compiled."""
    program = home_of(cache, "go", source / "main.go", source / "go.sum") / "stranger"
    if not program.exists():
        run("go", "build", "-o", program, ".", cwd=source, env={"CGO_ENABLED": "0"})
    return program


def _javascript(cache: Path) -> Path:
    return node_program(cache, HERE / "javascript")


def node_program(cache: Path, source: Path) -> Path:
    """The program of this folder, beside the packages that its lock names."""
    home = home_of(cache, "javascript", *sorted(path for path in source.iterdir() if path.is_file()))
    if not (home / "ready").exists():
        for name in ("main.mjs", "package.json", "package-lock.json"):
            shutil.copy(source / name, home)
        run("npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund", cwd=home)
        (home / "ready").touch()
    return home / "main.mjs"


def home_of(cache: Path, name: str, *sources: Path) -> Path:
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in sources)).hexdigest()[:12]
    home = cache / f"{name}-{digest}"
    home.mkdir(parents=True, exist_ok=True)
    return home


def run(*command: Path | str, cwd: Path | None = None, env: Mapping[str, str] | None = None) -> None:
    done = subprocess.run(
        [str(part) for part in command],
        cwd=cwd,
        env={**os.environ, **(env or {})},
        capture_output=True,
        text=True,
        timeout=MAKE_S,
        check=False,
    )
    assert done.returncode == 0, f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}"


async def sent(sdk: Sdk, url: str, events: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """What this SDK made of the events, and what was answered to each."""
    process = await asyncio.create_subprocess_exec(
        *sdk.command,
        "send",
        url,
        env={**os.environ, **sdk.env},
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        limit=2**20,
    )
    lines = "".join(json.dumps(event) + "\n" for event in events).encode()
    async with asyncio.timeout(SEND_S):
        output, _ = await process.communicate(lines)
    assert process.returncode == 0, f"{sdk.name} ended with {process.returncode}"
    return [json.loads(line) for line in output.splitlines()]


@dataclass
class Receiver:
    """One SDK that listens on ``host`` while the context lasts; ``got`` by the events' numbers."""

    sdk: Sdk
    host: str
    port: int = 0
    got: dict[str, list[dict[str, Any]]] = field(default_factory=dict)

    def url(self) -> str:
        return f"http://{self.host}:{self.port}/{self.sdk.name}"

    async def until(self, numbers: set[str], timeout_s: float = 60.0) -> None:
        """Returns when it has these."""
        async with asyncio.timeout(timeout_s), self._changed:
            await self._changed.wait_for(lambda: self.got.keys() >= numbers)

    async def __aenter__(self) -> Self:
        self._changed = asyncio.Condition()
        self._process = await asyncio.create_subprocess_exec(
            *self.sdk.command,
            "receive",
            self.host,
            env={**os.environ, **self.sdk.env},
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            limit=2**20,
        )
        self.port = (await self._line())["port"]
        self._reading = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *error: object) -> None:
        assert self._process.stdin is not None
        reading_ended = not self._reading.cancel()
        self._process.stdin.close()
        await self._process.wait()
        if reading_ended:
            self._reading.result()  # raises what it ended with

    async def _line(self) -> dict[str, Any]:
        assert self._process.stdout is not None
        document: dict[str, Any] = json.loads(await self._process.stdout.readline())
        return document

    async def _read(self) -> None:
        while True:
            line = await self._line()
            if not line.get("no"):
                continue  # not an event of the test: a probe that asks whether Triggers are at work
            async with self._changed:
                self.got.setdefault(line["no"], []).append(line)
                self._changed.notify_all()
