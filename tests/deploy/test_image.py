"""The image has the expected files, and its name depends on their content."""

import shutil
from pathlib import Path

import pytest

from pulsecart.admin.which_shop import ROOT
from tools.deploy import image

CODE = ("contracts", "eventing", "functions", "pulsecart", "tools", "tests", "benchmarks", "scripts", "docs")
SKIPPED = shutil.ignore_patterns("__pycache__")


def test_it_is_named_by_its_content_alone(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("*\n!shop\nshop/laptop\n**/__pycache__\n")
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    (tmp_path / "shop" / "__pycache__").mkdir(parents=True)
    (tmp_path / "shop" / "laptop").mkdir()
    (tmp_path / "shop" / "money.py").write_text("MINOR = 100\n")
    (tmp_path / "README.md").write_text("not in the image\n")
    first = image.tag(tmp_path)
    (tmp_path / "README.md").write_text("changed\n")
    (tmp_path / "shop" / "laptop" / "up.py").write_text("PORT = 8080\n")
    (tmp_path / "shop" / "__pycache__" / "money.cpython-311.pyc").write_bytes(b"compiled")
    assert image.tag(tmp_path) == first
    (tmp_path / "shop" / "money.py").write_text("MINOR = 1000\n")
    assert image.tag(tmp_path) != first


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a copy of the code, for tests that change it."""
    copy = tmp_path_factory.mktemp("checkout")
    for room in CODE:
        shutil.copytree(ROOT / room, copy / room, ignore=SKIPPED)
    (copy / "requirements").mkdir()
    for file in (
        ".dockerignore",
        "Dockerfile",
        "requirements/image.lock",
        "requirements/live.lock",
        "requirements/pubsub.lock",
    ):
        shutil.copy(ROOT / file, copy / file)
    return copy


@pytest.mark.parametrize(
    ("file", "shipped"),
    [
        ("tools/crowd/play.py", False),
        ("tools/deploy/image.py", False),
        ("tests/deploy/test_image.py", False),
        ("benchmarks/pairs.py", False),
        ("scripts/up", False),
        ("docs/operations.md", False),
        ("pulsecart/local/up.py", False),
        ("contracts/http/orders.yaml", False),
        ("contracts/released.json", False),
        ("contracts/openapi.json", True),
        ("contracts/ecommerce/order/order.paid.v1.json", True),
        ("eventing/pay.yaml", True),
        ("functions/pay/main.py", True),
        ("pulsecart/admin/rebuild.py", True),
        ("pulsecart/edge/web/static/shop.js", True),
        ("pulsecart/migrations/0001_shop.sql", True),
        ("pulsecart/shop/money.py", True),
    ],
)
def test_its_name_changes_with_a_file_that_runs_in_it_and_with_no_other(
    checkout: Path, file: str, shipped: bool
) -> None:
    before = image.tag(checkout)
    with (checkout / file).open("a") as opened:
        opened.write("\n")
    assert (image.tag(checkout) != before) is shipped


def test_it_holds_what_operations_run_on_and_nothing_else() -> None:
    held = {str(path.relative_to(ROOT)) for path in image.files()}
    assert {path.split("/")[0] for path in held} == {"contracts", "eventing", "functions", "pulsecart", "requirements"}
    assert {path for path in held if path.startswith("requirements/")} == {
        "requirements/image.lock",
        "requirements/live.lock",
        "requirements/pubsub.lock",
    }
    assert {path.split("/")[1] for path in held if path.startswith("contracts/")} == {
        "ecommerce",
        "envelope.v1.json",
        "openapi.json",
    }
    rooms = {path.split("/")[1] for path in held if path.startswith("pulsecart/")}
    assert {room for room in rooms if "." not in room} == {
        "admin",
        "bridges",
        "broker",
        "edge",
        "migrations",
        "processes",
        "runtime",
        "serving",
        "shop",
    }
