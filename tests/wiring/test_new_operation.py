"""./scripts/new makes operations that pass every check but their own test; a refusal states the alternative."""

import sys
from pathlib import Path

import pytest

from tests.wiring.copied import copied, run
from tools.new_operation.__main__ import main, write
from tools.new_operation.wanted import NotPossible, wanted
from tools.operations_table import ROOT

REACTS = ("pack_order", "--department", "orders", "--hears", "order.paid", "order.canceled", "--emits", "order.packed")
ANSWERS = ("grant_card", "--department", "payments", "--route", "POST /api/v1/gift-cards/{id}/grants")
# The parts of scripts/check and scripts/test that look at lists of operations; none of them starts a whole shop.
LOOK_AT_LISTS = [
    "tests/wiring/test_wiring.py",
    "tests/wiring/test_manifests.py",
    "tests/wiring/test_secrets.py",
    "tests/wiring/test_words.py",
    "tests/wiring/test_rooms.py",
    "tests/contracts/test_schemas.py",
    "tests/contracts/test_released.py",
    "tests/contracts/test_openapi.py",
    "tests/access/test_every_route.py",
    "tests/serving/test_functions_framework.py",
]
# Of these only the cases of the new operations run: those of the others are the same as outside of the copy.
LONG = (
    "component or leaks or stale_file or catalogue or an_operation_answers or lets_in or lets_who or in_the_demo"
    " or uses_redis_exactly_where"
)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Provide a copy of this repository with two new operations."""
    root = copied(tmp_path_factory.mktemp("new") / "shop")
    for asked in (REACTS, ANSWERS):
        done = run(root, "./scripts/new", *asked)
        assert done.returncode == 0, done.stderr
        assert f"./scripts/test tests/functions/test_{asked[0]}.py, which fails" in done.stdout
    return root


@pytest.mark.timeout(240)
def test_what_is_made_passes_the_fast_checks(made: Path) -> None:
    python = [sys.executable, "-m"]
    new = ["functions/pack_order/main.py", "functions/grant_card/main.py", "pulsecart/shop/orders/events.py"]
    for command in (
        [*python, "ruff", "check", "."],
        [*python, "ruff", "format", "--check", "."],
        [*python, "mypy", *new],
        [str(Path(sys.prefix) / "bin" / "lint-imports")],
        ["./scripts/generate", "--check"],
    ):
        done = run(made, *command)
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.timeout(240)
def test_of_the_tests_their_own_fail_and_no_other(made: Path) -> None:
    own = [f"tests/functions/test_{asked[0]}.py" for asked in (REACTS, ANSWERS)]
    only = f"not ({LONG}) or pack_order or grant_card or gift-cards"
    done = run(made, sys.executable, "-m", "pytest", "-q", "-k", only, *own, *LOOK_AT_LISTS)
    failed = [line.partition(" - ")[0] for line in done.stdout.splitlines() if line.startswith(("FAILED", "ERROR"))]
    assert failed == [
        "FAILED tests/functions/test_pack_order.py::test_order_paid_leads_to_order_packed_once",
        "FAILED tests/functions/test_grant_card.py::test_the_route_does_its_work",
    ], done.stdout[-8000:]
    assert "write its code, and here a test for each sentence" in done.stdout


@pytest.mark.parametrize(
    ("asked", "output"),
    [
        (("pack-order", "orders", ["order.paid"]), "such as pack_order"),
        (("packOrder", "orders", ["order.paid"]), "such as pack_order"),
        (("class", "orders", ["order.paid"]), "is not a valid name for an operation"),
        (("post", "orders", ["order.paid"]), "use a name of two words"),
        (("pay", "orders", ["order.paid"]), "The operation pay exists: change functions/pay/"),
        (("broker", "orders", ["order.paid"]), "eventing/broker.yaml exists"),
        (("orders_list", "orders", ["order.paid"]), "tests/functions/test_orders_list.py exists"),
        (("pack_order", "shipping", ["order.paid"]), "There is no department shipping: use one of audit, carts"),
        (("pack_order", "orders", ["order.payed"]), "subscribe to order.paid.v1, or another of"),
        (("pack_order", "orders", []), "has neither an event type nor a route: give --hears or --route"),
        (("pack_order", "orders", ["order.paid"], ["packed"]), "write a noun and a past fact, such as order.packed"),
        (
            ("pack_order", "orders", ["order.paid"], ["ecommerce.stock.order.paid.v1"]),
            "already has OrderPaid for another type than ecommerce.stock",
        ),
        (("pack_order", "orders", [], [], "/api/v1/packs"), 'write it as "POST /api/v1/things/{id}"'),
        (
            ("pack_order", "orders", [], [], "GET /api/v1/orders/{order}"),
            "orders already has the route GET /api/v1/orders/{id}",
        ),
    ],
    ids=lambda value: value if isinstance(value, str) else value[0],
)
def test_what_cannot_be_made_is_refused_with_what_to_do(asked: tuple[object, ...], output: str) -> None:
    name, department, hears, emits, route = (*asked, [], "")[:5] if len(asked) < 5 else asked
    with pytest.raises(NotPossible) as refused:
        wanted(name, department, hears, emits, route)  # type: ignore[arg-type]  # one tuple holds all five
    assert output in str(refused.value)


def test_a_refusal_writes_nothing_and_a_list_that_cannot_be_read_is_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["pack_order", "--department", "shipping", "--hears", "order.paid"]) == 2
    assert "There is no department shipping" in capsys.readouterr().err
    for name in ("k8s/base/operations/kustomization.yaml", "docs/kubernetes.md", "eventing/Kustomization"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("")
    with pytest.raises(
        NotPossible, match=r"kustomization.yaml has no line 'resources:', where the new operation must be"
    ):
        write(wanted("pack_order", "orders", ["order.paid"], [], ""), tmp_path)
    assert not (tmp_path / "functions").exists()


def test_a_type_of_any_department_can_be_named_in_full() -> None:
    new = wanted(
        "call_partner", "orders", ["order.paid"], ["ecommerce.partner.web_hook.delivered.v1", "order.paid"], ""
    )
    assert [(event.type, event.struct, event.new) for event in new.emits] == [
        ("ecommerce.partner.web_hook.delivered.v1", "WebHookDelivered", True),
        ("ecommerce.order.order.paid.v1", "OrderPaid", False),
    ]


def test_help_is_answered_without_any_package(tmp_path: Path) -> None:
    done = run(ROOT, "env", f"PULSECART_VENV={tmp_path / 'none'}", "./scripts/new", "--help")
    assert done.returncode == 0, done.stderr
    assert "usage: scripts/new" in done.stdout
    assert not (tmp_path / "none").exists()
