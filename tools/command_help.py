"""
``python -m tools.command_help``: writes ``scripts/help/<module>.txt``, a command's output for ``--help``.

A command's module defines its options and imports packages that a new checkout does not have yet. The texts are stored
as files, so that ``--help`` answers at once and installs nothing. With ``--check`` it writes nothing and lists the
stale files; exit status 1 if there are any.
"""

import os
import re
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor

from pulsecart.admin.which_shop import ROOT

SCRIPTS = ROOT / "scripts"
HELP = SCRIPTS / "help"


def modules() -> list[str]:
    """Return the module of each script that starts one with ``python -m``."""
    texts = [script.read_text() for script in sorted(SCRIPTS.iterdir()) if script.is_file()]
    return [found[1] for text in texts if (found := re.search(r'/python" -m ((?:pulsecart|tools)\.\S+) "\$@"', text))]


def help_of(module: str) -> str:
    """Return the module's ``--help`` output, 100 columns wide and without colors."""
    environ = {**os.environ, "COLUMNS": "100", "NO_COLOR": "1"}
    command = [sys.executable, "-m", module, "--help"]
    return subprocess.run(command, cwd=ROOT, env=environ, capture_output=True, text=True, check=True).stdout


def written_alike(one: str, other: str) -> bool:
    """Compare without white space: Python releases wrap the same usage differently."""
    return one.split() == other.split()


def main(check: bool) -> int:
    with ThreadPoolExecutor(2) as pool:
        texts = dict(zip(names := modules(), pool.map(help_of, names), strict=True))
    files = {HELP / f"{module}.txt": text for module, text in texts.items()}
    stale = [file for file, text in files.items() if not file.exists() or not written_alike(file.read_text(), text)]
    stale += [file for file in HELP.glob("*.txt") if file not in files]
    for file in stale:
        name = file.relative_to(ROOT)
        if check:
            sys.stderr.write(f"{name} is stale: run ./scripts/generate\n")
        elif file in files:
            file.write_text(files[file])
        else:
            file.unlink()
    return 1 if check and stale else 0


if __name__ == "__main__":
    sys.exit(main(check="--check" in sys.argv[1:]))
