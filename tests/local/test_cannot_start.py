"""A server that ends while the shop starts: one sentence says why, from the end of its log."""

from pathlib import Path

import pytest

from pulsecart.local.cannot_start import why


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        (None, "it ended; the last message in {log} is: nothing"),
        ("", "it ended; the last message in {log} is: nothing"),
        ("starting\n\n", "it ended; the last message in {log} is: starting"),
        ("FATAL: no such role\nstopping\n", "it ended; the last message in {log} is: FATAL: no such role"),
        ("Error: port taken\nbye\n", "it ended; the last message in {log} is: Error: port taken"),
        ("FATAL: No space left on device\n", "the disk under {folder} is full: free some space or give another --data"),
        (
            "No space left on device" + "x" * 5000 + "\nerror: late\n",
            "it ended; the last message in {log} is: error: late",
        ),
    ],
)
def test_the_last_relevant_line_of_the_log_is_the_reason(tmp_path: Path, text: str | None, sentence: str) -> None:
    log = tmp_path / "server.log"
    if text is not None:
        log.write_text(text)
    assert str(why(log, "it ended")) == sentence.format(log=log, folder=tmp_path)
