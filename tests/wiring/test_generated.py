"""Every file that .gitattributes marks is written by ./scripts/generate, and the files in git are up to date."""

from pathlib import Path

import pytest

from tests.wiring.copied import copied, run
from tools.operations_table import ROOT

STALE = {".json": "{}\n", ".py": "\n# stale\n", ".txt": "stale\n", ".html": "stale\n", ".js": "// stale\n"}


def marked(root: Path) -> list[Path]:
    lines = [line.split() for line in (root / ".gitattributes").read_text().splitlines()]
    patterns = [words[0] for words in lines if "linguist-generated" in words]
    return sorted(path for pattern in patterns for path in root.glob(pattern))


def contents(root: Path) -> dict[str, list[bytes]]:
    """Return path → words, without white space: Python releases wrap the texts of --help differently."""
    paths = [path for path in root.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return {str(path.relative_to(root)): path.read_bytes().split() for path in paths}


@pytest.mark.timeout(240)  # each generator is started three times
def test_generate_writes_every_marked_file_and_changes_no_other(tmp_path: Path) -> None:
    root = copied(tmp_path)
    before = contents(root)
    files = marked(root)
    for file in files:
        file.write_text((file.read_text() if file.suffix == ".py" else "") + STALE[file.suffix])
    checked = run(root, "./scripts/generate", "--check")
    assert checked.returncode == 1
    named = checked.stderr
    assert [str(file.relative_to(root)) for file in files if str(file.relative_to(root)) not in named] == [
        "contracts/released.json"  # named by the contracts that it lacks
    ]
    assert "contracts/envelope.v1.json is not released: run ./scripts/generate" in named
    written = run(root, "./scripts/generate")
    assert written.returncode == 0, written.stderr
    after = contents(root)
    assert [name for name in before.keys() | after.keys() if before.get(name) != after.get(name)] == []
    assert run(root, "./scripts/generate", "--check").returncode == 0


def test_every_pattern_of_gitattributes_names_a_file() -> None:
    lines = [line.split()[0] for line in (ROOT / ".gitattributes").read_text().splitlines() if not line.startswith("#")]
    assert [pattern for pattern in lines if not list(ROOT.glob(pattern))] == []
