"""Copies this repository for a test that runs commands which write into it."""

import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

from tools.operations_table import ROOT


def copied(to: Path) -> Path:
    """Copy every file that git knows or would add to ``to``, with the bytecode of modules: commands start sooner."""
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
    )
    files = [ROOT / name for name in filter(None, listed.stdout.decode().split("\0"))]
    for file in (*files, *_bytecode(files)):
        if file.is_file():
            target = to / file.relative_to(ROOT)
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(file, target)  # bytecode is valid for a source of the same time and size
    return to


def _bytecode(files: list[Path]) -> Iterator[Path]:
    for folder in {file.parent for file in files if file.suffix == ".py"}:
        yield from folder.glob("__pycache__/*.pyc")


def run(root: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """Run the command in the copy, with this test's Python environment, without the variables of CI and coverage."""
    away = {"PULSECART_CI", "PYTHONPATH", "COVERAGE_PROCESS_CONFIG"}
    environ = {name: value for name, value in os.environ.items() if name not in away}
    environ |= {"PULSECART_VENV": sys.prefix, "PYTHONPATH": str(root)}
    return subprocess.run(command, cwd=root, env=environ, capture_output=True, text=True, check=False)
