"""What a benchmark found: on standard output, and in the file that was asked for."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any


def tell(found: Mapping[str, Any], out: Path | None) -> None:
    """As JSON."""
    text = json.dumps(found, indent=1)
    print(text)
    if out:
        out.write_text(text + "\n")
