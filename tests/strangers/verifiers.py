"""
The Standard Webhooks libraries for Go and JavaScript as strangers: programs of their own that are given lines of JSON.

Each line has a ``secret``, ``headers`` and a ``body`` (base64). The answer is a line, too: whether the signature is
``valid`` to them, and what they ``signed`` of the same id, timestamp and body themselves (v1 only).
"""

import json
import subprocess
from base64 import b64encode
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from tests.strangers import sdks

SOURCES = sdks.HERE / "webhooks"
VERIFY_S = 60


class Signed(NamedTuple):
    secret: str
    headers: Mapping[str, str]
    body: bytes


def commands() -> dict[str, list[str]]:
    """
    How each is called, installed and compiled where it is not there yet.

    Raises:
        Missing: Go or Node is not installed.
    """
    sdks.require_tools()
    cache = sdks.CACHE / "webhooks"
    return {
        "go": [str(sdks.go_program(cache, SOURCES / "go"))],
        "javascript": ["node", str(sdks.node_program(cache, SOURCES / "javascript"))],
    }


def verdicts(command: list[str], messages: Sequence[Signed]) -> list[dict[str, Any]]:
    """What one of them says of each message."""
    lines = [
        json.dumps({"secret": one.secret, "headers": dict(one.headers), "body": b64encode(one.body).decode()}) + "\n"
        for one in messages
    ]
    done = subprocess.run(command, input="".join(lines), capture_output=True, text=True, timeout=VERIFY_S, check=False)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]
