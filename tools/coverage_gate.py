"""Checks the lines that the tests ran: a minimum for all shipped files together, and one for each file."""

import sys
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from coverage import Coverage

ROOT = Path(__file__).resolve().parent.parent
ROOMS = ("functions", "pulsecart")
TOTAL_PERCENT = 96
FILE_PERCENT = 80
# A file that may have less, and why.
FORKED = "handles requests in functions-framework's workers, which end by a signal without writing what they measured"
LESS = {"pulsecart/serving/functions_framework.py": FORKED, "pulsecart/serving/server/framework.py": FORKED}


class Lines(NamedTuple):
    """Lines of a file that can run, and how many of them did."""

    all: int
    run: int

    @property
    def percent(self) -> float:
        return 100.0 * self.run / self.all if self.all else 100.0


def measured(coverage: Coverage, root: Path = ROOT) -> dict[str, Lines]:
    """Return the lines of each file in ROOMS by its path; of a file that nothing imported, none ran."""
    files: dict[str, Lines] = {}
    for path in sorted(path for room in ROOMS for path in (root / room).rglob("*.py")):
        _, statements, _, missing, _ = coverage.analysis2(str(path))
        files[str(path.relative_to(root))] = Lines(len(statements), len(statements) - len(missing))
    return files


def total(files: Mapping[str, Lines]) -> Lines:
    return Lines(sum(lines.all for lines in files.values()), sum(lines.run for lines in files.values()))


def complaints(files: Mapping[str, Lines], less: Mapping[str, str]) -> list[str]:
    """Return a sentence for each thing that is missing, and for each reason that is no longer needed."""
    found = []
    if total(files).percent < TOTAL_PERCENT:
        found.append(f"{total(files).percent:.1f} % of all lines ran, at least {TOTAL_PERCENT} % have to")
    for name, lines in files.items():
        low = lines.percent < FILE_PERCENT
        if low and name not in less:
            found.append(f"{name}: {lines.percent:.0f} % of its lines ran: write tests up to {FILE_PERCENT} %")
        if not low and name in less:
            found.append(f"{name}: {lines.percent:.0f} % of its lines ran: delete its reason in tools/coverage_gate.py")
    found += [f"{name} does not exist: delete its reason in tools/coverage_gate.py" for name in less.keys() - files]
    return found


def main() -> int:
    coverage = Coverage()
    coverage.load()
    files = measured(coverage)
    sys.stdout.write(f"{total(files).percent:.1f} % of {total(files).all} lines ran\n")
    found = complaints(files, LESS)
    sys.stderr.writelines(f"{complaint}\n" for complaint in found)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
