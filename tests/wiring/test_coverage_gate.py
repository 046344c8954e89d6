"""tools/coverage_gate.py demands a share of lines of all files together and of each one."""

from pathlib import Path

from coverage import Coverage

from tools.coverage_gate import LESS, ROOT, Lines, complaints, measured

ENOUGH = {"functions/a.py": Lines(1000, 990), "functions/b.py": Lines(10, 8), "functions/empty.py": Lines(0, 0)}


def test_files_with_enough_lines_are_accepted() -> None:
    assert complaints(ENOUGH, {}) == []


def test_a_file_below_its_share_is_named_unless_it_has_a_reason() -> None:
    files = ENOUGH | {"functions/c.py": Lines(10, 7)}
    assert complaints(files, {}) == ["functions/c.py: 70 % of its lines ran: write tests up to 80 %"]
    assert complaints(files, {"functions/c.py": "runs where no test can look"}) == []


def test_too_few_lines_in_all_are_refused_though_each_file_has_enough() -> None:
    assert complaints({"functions/a.py": Lines(1000, 959)}, {}) == ["95.9 % of all lines ran, at least 96 % have to"]


def test_a_reason_that_is_no_longer_needed_is_named() -> None:
    reasons = {"functions/b.py": "was hard to reach", "functions/gone.py": "was hard to reach"}
    assert complaints(ENOUGH, reasons) == [
        "functions/b.py: 80 % of its lines ran: delete its reason in tools/coverage_gate.py",
        "functions/gone.py does not exist: delete its reason in tools/coverage_gate.py",
    ]


def test_every_reason_is_of_a_file_and_has_words() -> None:
    assert [name for name, reason in LESS.items() if not (ROOT / name).is_file() or not reason] == []


def test_lines_are_counted_in_every_file_also_in_those_that_nothing_imported(tmp_path: Path) -> None:
    (tmp_path / "functions").mkdir()
    ran = tmp_path / "functions" / "ran.py"
    ran.write_text("def run(deep):\n    if deep:\n        return 1\n    return 0\n")
    (tmp_path / "functions" / "unread.py").write_text("import os\n\nHOME = os.curdir\n")
    coverage = Coverage(data_file=None, config_file=False, include=[f"{tmp_path}/*"])
    with coverage.collect():
        run = {}  # type: dict[str, object]
        exec(compile(ran.read_text(), str(ran), "exec"), run)
        run["run"](False)  # type: ignore[operator]  # what the text above defines
    assert measured(coverage, tmp_path) == {
        "functions/ran.py": Lines(4, 3),
        "functions/unread.py": Lines(2, 0),
    }
