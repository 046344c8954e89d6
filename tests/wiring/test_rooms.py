"""Every folder of code is a package that import-linter sees, and no package costs a start more than a look-up."""

from pathlib import Path

from pulsecart.admin.which_shop import ROOT

FOLDERS = sorted({path.parent for room in ("functions", "pulsecart", "tools") for path in (ROOT / room).rglob("*.py")})


def _named(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def test_every_folder_of_code_is_a_package() -> None:
    packages = {folder for found in FOLDERS for folder in (found, *found.parents) if folder.is_relative_to(ROOT)} - {
        ROOT
    }
    assert _named([folder for folder in sorted(packages) if not (folder / "__init__.py").is_file()]) == []


def test_every_init_is_empty() -> None:
    inits = [folder / "__init__.py" for folder in FOLDERS]
    assert _named([init for init in inits if init.is_file() and init.read_text()]) == []
