"""The commands of docs/partner-events.md print what the page shows, one after the other, on a running shop."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from pulsecart.admin.which_shop import ROOT
from tests.local.running_shop import RunningShop

PAGE = ROOT / "docs" / "partner-events.md"
MARK = "-- the next command --"


def commands() -> list[tuple[str, str]]:
    """Each command with what the page shows as its output."""
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(), re.DOTALL)
    found = []
    for block in blocks:
        for part in re.split(r"^\$ ", block, flags=re.MULTILINE)[1:]:
            lines = part.splitlines()
            end = next((at for at, line in enumerate(lines) if at and not line.startswith(" ")), len(lines))
            found.append(("\n".join(lines[:end]), "\n".join(lines[end:])))
    return found


def script(place: Path, shop: RunningShop) -> Path:
    """The commands as one program; ./scripts/token is that of this shop."""
    token = place / "scripts" / "token"
    token.parent.mkdir()
    token.write_text(
        f'#!/bin/sh\ncd {ROOT} && exec {sys.executable} -m pulsecart.local.issuer --data {shop.data} "$@"\n'
    )
    token.chmod(0o755)
    lines = ['curl() { command curl -sS "$@"; }']
    for command, _ in commands():
        lines += [command.replace("http://localhost:8080", shop.url), f"echo; echo '{MARK}'"]
    made = place / "quickstart.sh"
    made.write_text("\n".join(lines) + "\n")
    return made


@pytest.mark.skipif(not shutil.which("curl") or not shutil.which("openssl"), reason="needs curl and openssl")
def test_the_quickstart_s_commands_print_what_the_page_shows(shop: RunningShop, tmp_path: Path) -> None:
    environ = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run(
        ["bash", script(tmp_path, shop)],
        cwd=tmp_path,
        env=environ,
        capture_output=True,
        text=True,
        timeout=45,
        check=False,
    )
    printed = done.stdout.split(MARK)
    assert len(printed) == len(commands()) + 1, done.stderr
    for (command, shown), output in zip(commands(), printed, strict=False):
        wanted = ".*".join(map(re.escape, shown.split("…")))
        assert re.fullmatch(wanted, output.strip(), re.DOTALL), f"{command}\nprinted {output}\n{done.stderr}"
