"""Writes a benchmark's result to standard output, and to the requested file."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def write_report(found: Mapping[str, Any], out: Path | None) -> None:
    """Write the result as JSON."""
    text = json.dumps(found, indent=1)
    print(text)
    if out:
        out.write_text(text + "\n")
