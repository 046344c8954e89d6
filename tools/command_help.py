"""
``python -m tools.command_help``: writes ``scripts/help/<module>.txt``, a command's output for ``--help``.

A command's module defines its options and imports packages that a new checkout does not have yet. The texts are stored
as files, so that ``--help`` answers at once and installs nothing. With ``--check`` it writes nothing and lists the
stale files; exit status 1 if there are any.
"""

import contextlib
import io
import os
import re
import runpy
import sys
import warnings

from pulsecart.admin.which_shop import ROOT

SCRIPTS = ROOT / "scripts"
HELP = SCRIPTS / "help"


def modules() -> list[str]:
    """Return the module of each script that starts one with ``python -m``."""
    texts = [script.read_text() for script in sorted(SCRIPTS.iterdir()) if script.is_file()]
    return [found[1] for text in texts if (found := re.search(r'/python" -m ((?:pulsecart|tools)\.\S+) "\$@"', text))]


def help_of(module: str) -> str:
    """
    Return the module's ``--help`` output.

    The modules run in this process, one after the other, so that what they import is imported once: 0.5 s, not 1.6.
    """
    printed, sys.argv = io.StringIO(), [module, "--help"]
    try:
        with contextlib.redirect_stdout(printed), warnings.catch_warnings():
            warnings.simplefilter("ignore", RuntimeWarning)  # a module that another one has imported before it runs
            runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as ended:
        if ended.code:
            raise
    return printed.getvalue()


def written_alike(one: str, other: str) -> bool:
    """Compare without white space: Python releases wrap the same usage differently."""
    return one.split() == other.split()


def main(check: bool) -> int:
    os.environ |= {"COLUMNS": "100", "NO_COLOR": "1"}
    files = {HELP / f"{module}.txt": help_of(module) for module in modules()}
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
