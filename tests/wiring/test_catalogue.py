"""The README's table of operations is written from the code and the YAML, and a stale one is detected."""

from pathlib import Path

import pytest

from tools import operations_table
from tools.operations_table import BEGIN, END, main, read, table, written


@pytest.fixture
def readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "README.md"
    path.write_text(f"before\n{BEGIN}\nold\n{END}\nafter\n")
    monkeypatch.setattr(operations_table, "README", path)
    return path


def test_a_stale_table_is_noticed_and_rewritten(readme: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--check"]) == 1
    assert "run ./scripts/generate" in capsys.readouterr().err
    assert "old" in readme.read_text(), "a check writes nothing"
    assert main([]) == 0
    assert main(["--check"]) == 0
    assert readme.read_text().startswith(f"before\n{BEGIN}\n|")
    assert readme.read_text().endswith(f"|\n{END}\nafter\n")


def test_a_readme_without_the_markers_is_not_guessed_at() -> None:
    with pytest.raises(ValueError, match="needs the lines"):
        written(f"{END} {BEGIN}", "table")


def test_the_table_shows_what_code_and_yaml_say() -> None:
    rows = {line.split("`")[1]: line for line in table(read()).splitlines()[2:]}
    assert "`POST /api/v1/sync/purchase`" in rows["checkout"]
    assert "`order.created.v1` (orderstatus pending)" in rows["reserve"]
    assert "[`reserve`](eventing/reserve.yaml)" in rows["reserve"]
    assert "`order.fulfilled.v1`" in rows["fulfil"]
    assert "`WS /ws/orders`" in rows["edge"]
    assert "every `*/5 * * * *`" in rows["settle"]
    assert "dead letters" in rows["keep-dead-letter"]
