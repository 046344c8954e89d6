"""./scripts/venv makes real environments, from packages that these tests write, without an index."""

import base64
import hashlib
import os
import re
import runpy
import shutil
import signal
import socket
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from pulsecart.admin.which_shop import ROOT

pytestmark = pytest.mark.timeout(180)  # packages are installed, some of them by pip
COPIED = ("scripts/venv", "scripts/make_venv.py", "scripts/python", "requirements/installer.lock")
COMMANDS = sorted(file.name for file in (ROOT / "scripts").iterdir() if os.access(file, os.X_OK) and file.is_file())

SUPPORTED = ("3.11", "3.12", "3.13", "3.14")
LINUX = ("x86_64-manylinux_2_34", "aarch64-manylinux_2_34")


def wheel(place: Path, name: str, version: str, requires: str = "") -> str:
    """Write a package with one module that contains its version; return its line in a lock."""
    info = f"{name}-{version}.dist-info"
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    files = {
        f"{name}.py": f"VERSION = {version!r}\n",
        f"{info}/METADATA": metadata + (f"Requires-Dist: {requires}\n" if requires else ""),
        f"{info}/WHEEL": "Wheel-Version: 1.0\nGenerator: test\nRoot-Is-Purelib: true\nTag: py3-none-any\n",
    }
    rows = [
        f"{file},sha256={base64.urlsafe_b64encode(hashlib.sha256(text.encode()).digest()).decode().rstrip('=')},{len(text)}"
        for file, text in files.items()
    ]
    files[f"{info}/RECORD"] = "\n".join([*rows, f"{info}/RECORD,,", ""])
    made = place / f"{name}-{version}-py3-none-any.whl"
    with zipfile.ZipFile(made, "w") as archive:
        for file, text in files.items():
            archive.writestr(zipfile.ZipInfo(file), text)  # without the time: the same file gets the same hash
    return f"{name}=={version} --hash=sha256:{hashlib.sha256(made.read_bytes()).hexdigest()}\n"


class Checkout:
    """Holds the scripts with two locks, whose packages lie in a directory; there is no index."""

    def __init__(self, place: Path, uv: Path) -> None:
        self.place = place
        self.link = place / ".venv"
        for directory in ("scripts", "requirements", "wheels"):
            (place / directory).mkdir()
        for file in COPIED:
            shutil.copy(ROOT / file, place / file)
        self.environ = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "PIP_FIND_LINKS": str(place / "wheels"),
            "PIP_NO_INDEX": "1",
            "UV_FIND_LINKS": str(place / "wheels"),
            "UV_NO_INDEX": "1",
            "UV_CACHE_DIR": str(place / "cache"),
        }
        (place / ".venv.d").mkdir()
        (place / ".venv.d" / uv.name).symlink_to(uv)
        self.lock("runtime", "1")
        self.lock("dev", "1", "beta")

    def lock(self, name: str, version: str, *more: str, requires: str = "") -> None:
        lines = [
            wheel(self.place / "wheels", "alpha", version, requires),
            *(wheel(self.place / "wheels", one, "1") for one in more),
        ]
        (self.place / "requirements" / f"{name}.lock").write_text("".join(lines))

    def start(self, lock: str, **environ: str) -> "subprocess.Popen[str]":
        command = [str(self.place / "scripts" / "venv"), lock]
        return subprocess.Popen(
            command, env=self.environ | environ, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
        )

    def venv(self, lock: str = "runtime", **environ: str) -> tuple[int, str]:
        """Run scripts/venv; return exit status and all output."""
        started = self.start(lock, **environ)
        stdout, stderr = started.communicate(timeout=50)
        return started.returncode, stdout + stderr

    def alpha(self) -> str:
        """Return the version of ``alpha`` that the shop would import now."""
        command = [str(self.link / "bin" / "python"), "-c", "import alpha; print(alpha.VERSION)"]
        return subprocess.run(command, capture_output=True, text=True, check=True).stdout.strip()

    def environments(self) -> set[str]:
        return {found.name for found in (self.place / ".venv.d").iterdir() if (found / "pyvenv.cfg").exists()}


@pytest.fixture(scope="module")
def uv(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide the directory of the uv that requirements/installer.lock names."""
    place = tmp_path_factory.mktemp("uv")
    make_venv = runpy.run_path(str(ROOT / "scripts" / "make_venv.py"))
    if not make_venv["get_uv"](ROOT / "requirements" / "installer.lock", place):
        pytest.skip(
            "uv cannot be installed: these tests need a connection to the package index that pip is configured with"
        )
    return next(place.iterdir())


@pytest.fixture
def checkout(tmp_path: Path, uv: Path) -> Checkout:
    return Checkout(tmp_path, uv)


@pytest.fixture
def hanging_index() -> Iterator[str]:
    """Provide an index that accepts connections and answers nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/simple"


def test_the_first_time_installs_the_lock_in_one_line_and_the_second_time_prints_nothing(checkout: Checkout) -> None:
    status, printed = checkout.venv()
    assert (status, checkout.alpha()) == (0, "1")
    assert re.fullmatch(r"installing 1 packages of requirements/runtime.lock for Python \S+, once\n", printed)
    assert checkout.venv() == (0, "")


def test_a_changed_lock_gets_a_new_environment_and_the_old_one_again_without_installing(checkout: Checkout) -> None:
    checkout.venv()
    first = checkout.link.resolve()
    checkout.lock("runtime", "2")
    assert checkout.venv()[0] == 0
    assert checkout.alpha() == "2"
    checkout.lock("runtime", "1")
    assert checkout.venv() == (0, "")
    assert checkout.link.resolve() == first


def test_a_profile_is_installed_once_in_a_directory_of_its_own(checkout: Checkout) -> None:
    checkout.venv()
    checkout.lock("pubsub", "9")
    script = [checkout.link / "bin" / "python", checkout.place / "scripts" / "make_venv.py"]
    command = [*map(str, script), str(checkout.place), str(checkout.link), "pubsub", "--beside"]
    for printed in (r"installing the packages of requirements/pubsub.lock, once\n", ""):
        done = subprocess.run(command, env=checkout.environ, capture_output=True, text=True, check=True)
        assert re.fullmatch(printed, done.stderr)
    place = Path(done.stdout.strip())
    assert place.parent == checkout.place / ".venv.d"
    assert "9" in (place / "alpha.py").read_text()
    assert checkout.alpha() == "1"


def test_the_environment_of_the_tests_serves_the_shop_too(checkout: Checkout) -> None:
    checkout.venv("dev")
    assert checkout.venv("runtime") == (0, "")
    assert checkout.alpha() == "1"


def test_a_file_that_differs_from_its_hash_is_not_installed_and_the_environment_stays(checkout: Checkout) -> None:
    checkout.venv()
    wheel(checkout.place / "wheels", "beta", "1", requires="forged")
    status, printed = checkout.venv("dev")
    assert status == 1
    assert "hash" in printed.lower()
    assert "Run this again when the cause is fixed." in printed
    assert checkout.venv("runtime") == (0, "")
    assert checkout.alpha() == "1"


def test_a_lock_that_lacks_what_a_package_requires_is_refused_and_nothing_is_looked_up(checkout: Checkout) -> None:
    wheel(checkout.place / "wheels", "gamma", "1")  # could be had, and is not in the lock
    checkout.lock("runtime", "3", requires="gamma")
    status, printed = checkout.venv()
    assert status == 1
    assert "gamma" in printed
    assert "requirements/runtime.lock is not complete" in printed
    assert not checkout.link.exists()


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_installation_leaves_the_shop_as_it_was(
    checkout: Checkout, hanging_index: str, end: signal.Signals
) -> None:
    checkout.venv()
    checkout.lock("dev", "1", "beta")
    started = checkout.start("dev", UV_NO_INDEX="0", UV_FIND_LINKS="", UV_DEFAULT_INDEX=hanging_index)
    while not list((checkout.place / ".venv.d").glob("dev-*")):
        assert started.poll() is None
        time.sleep(0.01)
    started.send_signal(end)
    started.communicate(timeout=20)
    assert started.returncode != 0
    assert checkout.venv("runtime") == (0, "")
    assert checkout.alpha() == "1"
    assert checkout.venv("dev")[0] == 0
    assert len([name for name in checkout.environments() if name.startswith("dev-")]) == 1


def test_where_uv_cannot_be_had_pip_installs_the_same(checkout: Checkout) -> None:
    next((checkout.place / ".venv.d").glob("uv-*")).unlink()
    status, printed = checkout.venv()
    assert (status, checkout.alpha()) == (0, "1")
    assert printed.count("\n") == 1
    checkout.lock("runtime", "3", requires="gamma")
    status, printed = checkout.venv()
    assert status == 1
    assert "requirements/runtime.lock is not complete" in printed
    assert checkout.alpha() == "1"


def test_two_starts_at_once_install_once(checkout: Checkout) -> None:
    both = [checkout.start("runtime") for _ in range(2)]
    printed = [started.communicate(timeout=50)[1] for started in both]
    assert [started.returncode for started in both] == [0, 0]
    assert sum("installing" in text for text in printed) == 1


def test_an_environment_of_an_older_version_is_used_while_it_fits_and_replaced_when_not(checkout: Checkout) -> None:
    subprocess.run([sys.executable, "-m", "venv", "--without-pip", checkout.link], check=True)
    shutil.copy(checkout.place / "requirements" / "runtime.lock", checkout.link)
    assert checkout.venv() == (0, "")
    checkout.lock("runtime", "2")
    assert checkout.venv()[0] == 0
    assert checkout.alpha() == "2"
    assert checkout.link.is_symlink()


def test_no_python_new_enough_is_a_sentence(checkout: Checkout) -> None:
    tools = checkout.place / "bin"
    tools.mkdir()
    for tool in ("sh", "cmp", "dirname", "sed"):
        (tools / tool).symlink_to(shutil.which(tool) or tool)
    without = checkout.venv(PATH=str(tools))
    (tools / "python3").write_text("#!/bin/sh\nexit 1\n")
    (tools / "python3").chmod(0o755)
    assert without[0] == 1
    assert "needs Python 3.11 or newer" in without[1]
    assert checkout.venv(PATH=str(tools)) == without


def test_a_place_that_cannot_be_written_is_a_sentence(checkout: Checkout) -> None:
    status, printed = checkout.venv(PULSECART_VENV="/nonexistent/venv")
    assert status == 1
    assert "/nonexistent/venv.d cannot be written" in printed
    assert "Traceback" not in printed


@pytest.mark.parametrize("name", COMMANDS)
def test_every_script_answers_help_without_installing_anything(name: str, tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "PULSECART_VENV": str(tmp_path / "venv")}
    asked = subprocess.run([ROOT / "scripts" / name, "--help"], env=environ, capture_output=True, text=True, timeout=10)
    assert (asked.returncode, asked.stderr) == (0, "")
    assert len(asked.stdout) > 60
    assert list(tmp_path.iterdir()) == []


def test_a_subcommand_answers_help_too_before_anything_is_installed(tmp_path: Path) -> None:
    environ = {"PATH": "/usr/bin:/bin", "PULSECART_VENV": str(tmp_path / "venv")}
    command = [str(ROOT / "scripts" / "dead-letters"), "list", "--help"]
    asked = subprocess.run(command, env=environ, capture_output=True, text=True, timeout=10)
    assert "usage: scripts/dead-letters" in asked.stdout
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("lock", "pythons", "platforms"),
    [
        ("runtime", SUPPORTED, (*LINUX, "aarch64-apple-darwin")),
        ("dev", SUPPORTED, (*LINUX, "aarch64-apple-darwin")),
        ("image", SUPPORTED[:1], LINUX),
    ],
)
def test_each_lock_has_all_that_every_supported_python_needs(
    lock: str, pythons: tuple[str, ...], platforms: tuple[str, ...], uv: Path, tmp_path: Path
) -> None:
    """Resolves every dependency from wheels alone: a package that the lock lacks has no hash, and is refused."""
    unmet = {}
    for python in pythons:
        for platform in platforms:
            command = [str(uv / "bin" / "uv"), "pip", "install", "--dry-run", "--target", str(tmp_path / "none")]
            command += ["--python-version", python, "--python-platform", platform, "--only-binary", ":all:"]
            command += ["--require-hashes", "-r", str(ROOT / "requirements" / f"{lock}.lock")]
            environ = {**os.environ, "MACOSX_DEPLOYMENT_TARGET": "11.0"}
            asked = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
            if asked.returncode:
                unmet[python, platform] = asked.stderr
    assert unmet == {}


def test_the_tests_environment_has_the_shops_packages_in_the_same_versions() -> None:
    pins = {
        name: set(
            re.findall(r"^[A-Za-z0-9._-]+==\S+", (ROOT / "requirements" / f"{name}.lock").read_text(), re.MULTILINE)
        )
        for name in ("image", "runtime", "dev")
    }
    assert pins["image"] < pins["runtime"] < pins["dev"]
