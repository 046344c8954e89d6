"""
Makes the virtual environment of a lock file: ``python3 scripts/make_venv.py ROOT VENV runtime|dev``. Needs only Python.
``… ROOT VENV pubsub --beside`` installs a profile's packages into a directory of their own, and prints it.

VENV is a symbolic link. Each lock gets a directory of its own beside it (``VENV.d/<lock>-<hash>``), and the link is
replaced only when everything in that directory is installed: a failed or interrupted installation leaves the
environment that was there before as it was.

The lock is complete, so nothing is resolved: uv installs exactly its files and compares each with its hash. uv itself
comes from ``requirements/installer.lock``, by the pip that Python brings. Where uv does not work, that pip installs
everything.
"""

import fcntl
import hashlib
import importlib.util
import os
import shutil
import subprocess
import sys
import sysconfig
import threading
import time
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

PIP_OPTIONS = ("--disable-pip-version-check", "--no-input", "--no-deps", "--require-hashes")
# What pip was configured with, in the names that uv and its HTTP client read.
PIP_TO_UV = {
    "index-url": "UV_DEFAULT_INDEX",
    "extra-index-url": "UV_INDEX",
    "cert": "SSL_CERT_FILE",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
}


class CannotInstall(Exception):
    """The installation failed; the message has the reason, and what to do."""


def say(text: str, end: str = "\n") -> None:
    print(text, end=end, file=sys.stderr, flush=True)


def pip() -> list[str]:
    """
    Return the command of the newest pip that exists without an environment.

    Raises:
        CannotInstall: this Python was packaged without one.
    """
    places = [Path("/usr/share/python-wheels")]
    if spec := importlib.util.find_spec("ensurepip"):
        places.insert(0, Path(str(spec.origin)).parent / "_bundled")
    for place in places:
        for wheel in sorted(place.glob("pip-*.whl"), reverse=True):
            return [str(wheel / "pip")]
    if importlib.util.find_spec("pip"):
        return ["-m", "pip"]
    raise CannotInstall(
        f"{sys.executable} has no pip: on Debian and Ubuntu, install python3-venv; then run this again."
    )


def run(command: Sequence[str | Path], **more: str) -> subprocess.CompletedProcess[str]:
    """Run the command without the variables of an activated environment or of a caller's Python settings."""
    kept = {
        name: value for name, value in os.environ.items() if name not in ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV")
    }
    return subprocess.run(command, env={**kept, **more}, capture_output=True, text=True, check=False)


def uv_settings() -> dict[str, str]:
    """Return pip's index, certificates and proxy as variables for uv, which does not read pip's configuration."""
    listed = run([sys.executable, *pip(), "config", "list"]).stdout
    found: dict[str, str] = {}
    for line in listed.splitlines():
        name, _, value = line.partition("=")
        uv_name = PIP_TO_UV.get(name.rpartition(".")[2])
        if uv_name and uv_name not in os.environ:
            found[uv_name] = value.strip("'\"")
    return found


def get_uv(lock: Path, beside: Path) -> Path | None:
    """Install uv by its lock if it is missing; return None if this platform or index has no uv."""
    place = beside / f"uv-{digest(lock)}"
    if not place.exists():
        made = place.with_name(f"{place.name}.part")
        shutil.rmtree(made, ignore_errors=True)
        install = [*pip(), "install", *PIP_OPTIONS, "--quiet", "--target", str(made), "--requirement", str(lock)]
        if run([sys.executable, *install]).returncode:
            return None
        made.rename(place)
    return place / "bin" / "uv"


def digest(lock: Path) -> str:
    """Return a name for the lock's content with this Python."""
    return hashlib.sha256(lock.read_bytes() + sys.version.encode()).hexdigest()[:12]


@contextmanager
def waiting(text: str) -> Iterator[None]:
    """Print one line for the duration of the context; on a terminal, with the seconds that have passed."""
    began, done = time.monotonic(), threading.Event()
    live = sys.stderr.isatty()

    def count() -> None:
        while not done.wait(1):
            say(f"\r{text} … {time.monotonic() - began:.0f} s", end="")

    say(text, end="" if live else "\n")
    counter = threading.Thread(target=count, daemon=True)
    if live:
        counter.start()
    try:
        yield
    finally:
        done.set()
        if live:
            counter.join()
            say(f"\r{text} … {time.monotonic() - began:.0f} s")


def install(environment: Path, lock: Path, uv: Path | None) -> None:
    """
    Install exactly the files of ``lock``, then verify that every package has its requirements.

    Raises:
        CannotInstall: with what the installer printed.
    """
    python = environment / "bin" / "python"
    tried = ""
    if uv:
        options = ["--quiet", "--no-deps", "--require-hashes", "--python", str(python)]
        done = run([uv, "pip", "install", *options, "--requirement", str(lock)], **uv_settings())
        if not done.returncode:
            checked = run([uv, "pip", "check", "--quiet", "--python", str(python)])
            return require(checked, f"requirements/{lock.name} is not complete")
        tried = f"uv: {done.stderr.strip()}\n"
    require(
        run([python, *pip(), "install", "--quiet", *PIP_OPTIONS, "--requirement", str(lock)]), "no installation", tried
    )
    return require(run([python, *pip(), "check"]), f"requirements/{lock.name} is not complete")


def add(root: Path, link: Path, name: str) -> Path:
    """
    Install the packages of a profile, which its lock holds beside those of runtime.lock; return their directory.

    Raises:
        CannotInstall: with what the installer printed.
    """
    lock = root / "requirements" / f"{name}.lock"
    beside = link.with_name(f"{link.name}.d")
    beside.mkdir(exist_ok=True)
    place = beside / f"{name}-{digest(lock)}"
    with (beside / "lock").open("a+") as turn:
        fcntl.flock(turn, fcntl.LOCK_EX)
        if not place.exists():
            made = place.with_name(f"{place.name}.part")
            shutil.rmtree(made, ignore_errors=True)
            options = ["--quiet", "--no-deps", "--require-hashes", "--target", str(made), "--requirement", str(lock)]
            with waiting(f"installing the packages of requirements/{lock.name}, once"):
                uv = get_uv(root / "requirements" / "installer.lock", beside)
                tool = [uv, "pip"] if uv else [sys.executable, *pip(), "--no-input", "--disable-pip-version-check"]
                where = ["--python", sys.executable] if uv else []
                require(run([*tool, "install", *where, *options], **uv_settings()), "no installation")
            made.rename(place)
    return place


def require(done: subprocess.CompletedProcess[str], failure: str, before: str = "") -> None:
    if done.returncode:
        printed = f"{before}{done.stdout}{done.stderr}".strip()
        advice = f"The packages could not be installed ({failure}); the reason is above."
        raise CannotInstall(f"{printed}\n{advice} Run this again when the cause is fixed.")


def make(root: Path, environment: Path, name: str, uv_place: Path) -> None:
    lock = root / "requirements" / f"{name}.lock"
    count = sum("==" in line and not line.startswith((" ", "#")) for line in lock.read_text().splitlines())
    shutil.rmtree(environment, ignore_errors=True)
    with waiting(f"installing {count} packages of requirements/{name}.lock for Python {sys.version.split()[0]}, once"):
        venv.create(environment, symlinks=True)
        install(environment, lock, get_uv(root / "requirements" / "installer.lock", uv_place))
    variables = {"base": str(environment), "platbase": str(environment)}
    packages = Path(sysconfig.get_path("purelib", "venv", vars=variables))
    (packages / "pulsecart.pth").write_text(f"{root}\n")
    shutil.copy(root / "requirements" / "runtime.lock", environment)  # dev.lock holds all of it, in the same versions
    shutil.copy(lock, environment)


def complete(environment: Path, lock: Path) -> bool:
    stamp = environment / lock.name
    works = [str(environment / "bin" / "python"), "-c", ""]
    return stamp.exists() and stamp.read_bytes() == lock.read_bytes() and not run(works).returncode


def point(link: Path, environment: Path, beside: Path) -> None:
    """Replace the link in one step, and remove the environments that neither it nor its predecessor names."""
    before = link.resolve()
    if link.is_dir() and not link.is_symlink():  # an environment that was made before there were links
        before = beside / f"before-{os.getpid()}"
        link.rename(before)
    fresh = beside / f"link-{os.getpid()}"
    fresh.symlink_to(environment)
    fresh.replace(link)
    for old in beside.iterdir():
        if old.is_dir() and not old.name.startswith("uv-") and old.resolve() not in (environment.resolve(), before):
            shutil.rmtree(old, ignore_errors=True)


def main(root: Path, link: Path, name: str) -> None:
    """
    Raises:
        CannotInstall: the place cannot be written, or packages could not be installed.
    """
    lock = root / "requirements" / f"{name}.lock"
    beside = link.with_name(f"{link.name}.d")
    try:
        beside.mkdir(exist_ok=True)
        turn = (beside / "lock").open("a+")
    except OSError as error:
        raise CannotInstall(
            f"{beside} cannot be written ({error.strerror}): the virtual environment cannot be created."
        ) from None
    with turn:  # one at a time: two shops may be started in the same moment
        try:
            fcntl.flock(turn, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say(f"waiting for another process that creates {link}")
            fcntl.flock(turn, fcntl.LOCK_EX)
        if complete(link, lock):
            return
        environment = beside / f"{name}-{digest(lock)}"
        if not complete(environment, lock):
            make(root, environment, name, beside)
        point(link, environment, beside)


if __name__ == "__main__":
    try:
        if sys.argv[4:] == ["--beside"]:
            sys.stdout.write(f"{add(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), sys.argv[3])}\n")
        else:
            main(Path(sys.argv[1]).absolute(), Path(sys.argv[2]).absolute(), sys.argv[3])
    except CannotInstall as error:
        say(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        say("\ninterrupted: run this again to install the packages")
        sys.exit(130)
