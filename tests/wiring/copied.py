"""Copies this repository for a test that runs commands which write into it."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

from tools.operations_table import ROOT


def copied(to: Path) -> Path:
    """Copy every file that git knows or would add; return the directory."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    for name in filter(None, listed.stdout.decode().split("\0")):
        if (ROOT / name).is_file():
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, to / name)
    return to


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the copy, with this test's Python environment, without the variables of CI and coverage."""
    away = {"PULSECART_CI", "PYTHONPATH", "COVERAGE_PROCESS_CONFIG"}
    environ = {name: value for name, value in os.environ.items() if name not in away}
    environ |= {"PULSECART_VENV": sys.prefix, "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
