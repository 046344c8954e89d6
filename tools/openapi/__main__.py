"""
Generates the API's description from ``contracts/http/*.yaml``, ``contracts/problems.yaml`` and the code.

    python -m tools.openapi            writes contracts/openapi.json and the page /docs/api
    python -m tools.openapi --check    lists stale files and differences of code and catalogue; exit status 1 if any
"""

import argparse
import sys
from pathlib import Path

import msgspec

from tools.openapi.document import Undescribed, document
from tools.openapi.page import page
from tools.openapi.problems import ROOT, answered, complaints, listed, titles

DOCUMENT = ROOT / "contracts" / "openapi.json"
PAGE = ROOT / "pulsecart" / "edge" / "web" / "static" / "api.html"


def written() -> dict[Path, str]:
    """
    Return the content of each file.

    Raises:
        Undescribed: the code differs from the description or from the catalogue of problems.
    """
    known, found = listed(), answered()
    wrong = list(complaints(known, found))
    if wrong:
        raise Undescribed("\n".join(wrong))
    described = document()
    json = msgspec.json.format(msgspec.json.encode(described), indent=1).decode() + "\n"
    return {DOCUMENT: json, PAGE: page(described, known, titles(found))}


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="tools.openapi", description="Generate the API's description.")
    parser.add_argument("--check", action="store_true")
    options = parser.parse_args(arguments)
    try:
        files = written()
    except Undescribed as error:
        sys.stderr.write(f"{error}\n")
        return 1
    stale = [path for path, text in files.items() if not path.exists() or path.read_text() != text]
    for path in stale:
        if options.check:
            sys.stderr.write(f"{path.relative_to(ROOT)} is stale: run ./scripts/generate\n")
        else:
            path.write_text(files[path])
    return 1 if stale and options.check else 0


if __name__ == "__main__":
    sys.exit(main())
