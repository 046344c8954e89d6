"""The command line of ./scripts/up: its defaults, and one sentence for each wrong value."""

from pathlib import Path

import pytest

from pulsecart.admin.which_shop import DATA
from pulsecart.local.arguments import arguments


def test_without_options_the_shop_is_on_its_usual_port_with_one_worker_and_no_profile() -> None:
    chosen = arguments([])
    assert (chosen.port, chosen.data, chosen.workers, chosen.profiles) == (8080, DATA, 1, ())


def test_every_option_is_read() -> None:
    chosen = arguments(["--port", "0", "--data", "elsewhere", "--workers", "3", "--with", "pubsub"])
    assert (chosen.port, chosen.data, chosen.workers, chosen.profiles) == (0, Path("elsewhere"), 3, ("pubsub",))


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        (["--workers", "0"], "argument --workers: must be 1 or more"),
        (["--workers", "-1"], "argument --workers: must be 1 or more"),
        (["--workers", "²"], "argument --workers: must be 1 or more"),
        (["--workers", "two"], "argument --workers: must be 1 or more"),
        (["--port", "http"], "argument --port: invalid int value: 'http'"),
        (["--with", "pubsub,mail"], "argument --with: mail is none of pubsub"),
    ],
)
def test_a_wrong_value_is_named_in_one_sentence(
    given: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit, match="2"):
        arguments(given)
    assert capsys.readouterr().err.splitlines()[-1] == f"./scripts/up: error: {sentence}"
