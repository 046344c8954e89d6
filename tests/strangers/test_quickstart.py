"""The programs of docs/webhooks.md take what the shop signs, and refuse everything else."""

import os
import re
import shutil
import subprocess
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx
import pytest

from functions.webhook_deliver.requests import signed_headers
from pulsecart.admin.which_shop import ROOT
from pulsecart.serving import cloudevents
from pulsecart.shop.webhooks.new_secrets import new_secret
from pulsecart.shop.webhooks.signature import Secret
from tests.listening import listen
from tests.local.running_shop import eventually
from tests.strangers import sdks
from tests.strangers.verifiers import SOURCES

TEXT = (ROOT / "docs" / "webhooks.md").read_text().partition("## Quickstart: a partner")[2].partition("\n## ")[0]
PORT = "3000"
TYPE, ID = "ecommerce.order.order.paid.v1", "0199e3a4-7c1e-7d2a-9b7e-2f6f0d1c3a61"
BODY = f'{{"specversion": "1.0", "type": "{TYPE}", "subject": "o-1", "data": {{"name": "Bücher 🛒"}}}}'.encode()


def example(language: str) -> str:
    (found,) = re.findall(rf"^ *```{language}\n(.*?)^ *```$", TEXT, re.MULTILINE | re.DOTALL)
    return textwrap.dedent(found)


def python(program: str, place: Path) -> list[str]:
    file = place / "receiver.py"
    file.write_text(program)
    return [sys.executable, str(file)]


def javascript(program: str, place: Path) -> list[str]:
    packages = sdks.node_program(sdks.CACHE / "webhooks", SOURCES / "javascript").parent / "node_modules"
    (place / "node_modules").symlink_to(packages)
    file = place / "receiver.mjs"
    file.write_text(program)
    return ["node", str(file)]


def go(program: str, place: Path) -> list[str]:
    for name in ("go.mod", "go.sum"):
        shutil.copy(SOURCES / "go" / name, place)
    (place / "main.go").write_text(program)
    sdks.run("go", "build", "-o", "receiver", ".", cwd=place, env={"CGO_ENABLED": "0"})
    return [str(place / "receiver")]


@contextmanager
def running(language: str, place: Path, secret: str) -> Iterator[tuple[str, "subprocess.Popen[str]"]]:
    """Start the example on a free port; yield its URL and its process."""
    prepare: Callable[[str, Path], list[str]] = {"python": python, "javascript": javascript, "go": go}[language]
    with listen() as free:
        port = str(free.getsockname()[1])
    program = example(language)
    assert program.count(PORT) == 1
    command = prepare(program.replace(PORT, port), place)
    environ = {**os.environ, "WEBHOOK_SECRET": secret}
    quiet = subprocess.DEVNULL
    with subprocess.Popen(command, env=environ, stdout=subprocess.PIPE, stderr=quiet, text=True) as process:
        url = f"http://127.0.0.1:{port}/"
        try:
            eventually(lambda: process.poll() is not None or answers(url), "the example listens", 30.0)
            assert process.poll() is None, "the example ended"
            yield url, process
        finally:
            process.kill()


def answers(url: str) -> bool:
    try:
        httpx.get(url, timeout=5, trust_env=False)
    except httpx.TransportError:
        return False
    return True


def posted(url: str, secret: str, body: bytes = BODY, *, sent: bytes | None = None, age_s: float = 0) -> int:
    """Post a message that was signed by this secret; return the status."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    own = {"content-type": cloudevents.STRUCTURED}
    headers = dict(signed_headers(own, body, ID, at, [Secret(secret)]))
    content = body if sent is None else sent
    return httpx.post(url, content=content, headers=headers, timeout=10, trust_env=False).status_code


@pytest.fixture(scope="module")
def _tools() -> None:
    try:
        sdks.require_tools()
    except sdks.Missing as missing:
        pytest.skip(str(missing))


@pytest.mark.timeout(300)  # Go compiles, npm installs
@pytest.mark.usefixtures("_tools")
@pytest.mark.parametrize("language", ["python", "javascript", "go"])
def test_an_example_takes_what_the_shop_signed_and_nothing_else(language: str, tmp_path: Path) -> None:
    secret = new_secret()
    with running(language, tmp_path, secret) as (url, process):
        assert posted(url, new_secret()) == 400
        assert posted(url, secret, sent=BODY.replace(b"o-1", b"o-2")) == 400
        assert posted(url, secret, age_s=600) == 400
        assert httpx.post(url, content=BODY, timeout=10, trust_env=False).status_code == 400
        assert posted(url, secret) == 204
        assert process.stdout
        line = process.stdout.readline().split()
    assert line == [ID, TYPE, "o-1"]
