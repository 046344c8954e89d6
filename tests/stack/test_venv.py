"""./scripts/venv with a Python that only writes down what it was asked to do."""

import os
import shutil
import subprocess
from pathlib import Path

import pytest

from runtime.stack.running import ROOT

TOOLS = ("sh", "cmp", "dirname", "cat", "cp", "mkdir", "rm", "sleep")
PYTHON = """#!/bin/sh
echo "$@" >>{asked}
case "$*" in
*'-m venv'*) mkdir -p "$4/bin"; cp "$0" "$4/bin/python" ;;
esac
exit {status}
"""


class Checkout:
    """A copy of the script beside two locks, with a PATH of its own."""

    def __init__(self, place: Path) -> None:
        self.place = place
        self.asked = place / "asked"
        for directory in ("scripts", "requirements", "bin"):
            (place / directory).mkdir()
        shutil.copy(ROOT / "scripts" / "venv", place / "scripts" / "venv")
        for lock in ("runtime", "dev"):
            (place / "requirements" / f"{lock}.lock").write_text(f"{lock}==1\n")
        for tool in TOOLS:
            (place / "bin" / tool).symlink_to(shutil.which(tool) or tool)

    def has_python(self, status: int = 0) -> "Checkout":
        python = self.place / "bin" / "python3"
        python.write_text(PYTHON.format(asked=self.asked, status=status))
        python.chmod(0o755)
        return self

    def venv(self, lock: str = "runtime") -> subprocess.CompletedProcess[str]:
        self.asked.write_text("")
        script = self.place / "scripts" / "venv"
        environ = {"PATH": str(self.place / "bin")}
        return subprocess.run([script, lock], env=environ, capture_output=True, text=True, timeout=20)

    @property
    def installed(self) -> list[str]:
        return [line.split()[-1] for line in self.asked.read_text().splitlines() if "pip install" in line]


@pytest.fixture
def checkout(tmp_path: Path) -> Checkout:
    return Checkout(tmp_path)


def test_the_first_time_installs_the_lock_by_its_hashes(checkout: Checkout) -> None:
    made = checkout.has_python().venv()
    assert made.returncode == 0
    assert "--require-hashes" in checkout.asked.read_text()
    assert checkout.installed == [str(checkout.place / "requirements" / "runtime.lock")]
    assert "installing" in made.stderr


def test_the_second_time_asks_pip_nothing_and_says_nothing(checkout: Checkout) -> None:
    checkout.has_python().venv()
    again = checkout.venv()
    assert (again.returncode, again.stdout, again.stderr) == (0, "", "")
    assert checkout.installed == []


def test_a_changed_lock_is_installed_again(checkout: Checkout) -> None:
    checkout.has_python().venv()
    (checkout.place / "requirements" / "runtime.lock").write_text("runtime==2\n")
    assert checkout.venv().returncode == 0
    assert len(checkout.installed) == 1


def test_the_environment_of_the_tests_serves_the_shop_too(checkout: Checkout) -> None:
    checkout.has_python().venv("dev")
    checkout.venv("runtime")
    assert checkout.installed == []


def test_an_install_that_was_interrupted_is_taken_over(checkout: Checkout) -> None:
    (checkout.place / ".venv.making").mkdir()
    gone = subprocess.Popen(["true"])
    gone.wait()
    (checkout.place / ".venv.making" / "pid").write_text(f"{gone.pid}\n")
    assert checkout.has_python().venv().returncode == 0
    assert not (checkout.place / ".venv.making").exists()


def test_no_python_new_enough_is_said_in_a_sentence(checkout: Checkout) -> None:
    without, too_old = checkout.venv(), checkout.has_python(status=1).venv()
    assert without.returncode == too_old.returncode == 1
    assert "needs Python 3.11 or newer" in without.stderr
    assert without.stderr == too_old.stderr


def test_a_place_that_cannot_be_written_is_said_in_a_sentence(checkout: Checkout) -> None:
    environ = {"PATH": str(checkout.has_python().place / "bin"), "PULSECART_VENV": "/nonexistent/venv"}
    script = checkout.place / "scripts" / "venv"
    said = subprocess.run([script, "runtime"], env=environ, capture_output=True, text=True, timeout=20)
    assert said.returncode == 1
    assert "/nonexistent cannot be written" in said.stderr
    assert os.listdir(checkout.place / "scripts") == ["venv"]
