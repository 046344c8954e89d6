"""The compatibility check rejects changes of released contracts."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest

from pulsecart.runtime.contracts import CONTRACTS_DIR, event_types, schema
from tools.frozen_contracts import changed, drafts, fingerprint, main, release, unreleased

CREATED = "ecommerce/order/order.created.v1.json"


@pytest.fixture
def contracts(tmp_path: Path) -> Path:
    return Path(shutil.copytree(CONTRACTS_DIR, tmp_path / "contracts"))


def edit(contracts: Path, **changes: Any) -> None:
    path = contracts / CREATED
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def test_no_released_contract_has_changed() -> None:
    assert changed() == []


def test_every_contract_is_released() -> None:
    assert unreleased() == [], "freeze them: ./scripts/generate"


def test_the_changelog_names_every_contract() -> None:
    changelog = (CONTRACTS_DIR / "CHANGELOG.md").read_text()
    assert [t for t in sorted(event_types()) if t not in changelog] == [], "say in contracts/CHANGELOG.md what is new"


@pytest.mark.parametrize(
    "change",
    [
        {"required": ["orderId"]},
        {"additionalProperties": False},
        {"properties": {"orderId": {"type": "string"}}},
        {"$id": "https://example.com/other"},
    ],
    ids=str,
)
def test_a_changed_demand_is_refused_and_the_way_out_is_a_new_version(contracts: Path, change: dict[str, Any]) -> None:
    edit(contracts, **change)
    (complaint,) = changed(contracts)
    assert CREATED in complaint
    assert "order.created.v2.json" in complaint


def test_a_member_named_description_is_a_demand() -> None:
    plain = {"properties": {"description": {"type": "string"}}}
    assert fingerprint(plain) != fingerprint({"properties": {"description": {"type": "integer"}}})
    assert fingerprint(plain) != fingerprint({"properties": {}})


def test_words_and_examples_may_be_improved(contracts: Path) -> None:
    edit(contracts, description="Better words.", title="Better", examples=[])
    assert changed(contracts) == []


def test_a_released_contract_may_not_disappear(contracts: Path) -> None:
    (contracts / CREATED).unlink()
    (complaint,) = changed(contracts)
    assert "is missing" in complaint


def test_releasing_freezes_what_is_new_and_never_repairs_what_changed(contracts: Path) -> None:
    edit(contracts, required=[])
    newer = contracts / CREATED.replace("v1", "v2")
    newer.write_text(json.dumps({**schema("ecommerce.order.order.created.v1"), "required": []}))
    assert release(contracts) == [CREATED.replace("v1", "v2")]
    assert unreleased(contracts) == []
    assert len(changed(contracts)) == 1


def test_a_draft_is_not_released_and_its_members_may_change(contracts: Path) -> None:
    draft = contracts / CREATED.replace("v1", "v2")
    draft.write_text(json.dumps({**schema("ecommerce.order.order.created.v1"), "$comment": "Draft: until Friday."}))
    assert release(contracts) == []
    assert unreleased(contracts) == []
    assert set(drafts(contracts)) - set(drafts()) == {CREATED.replace("v1", "v2")}


def test_a_draft_fails_the_check_in_ci_alone(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    known = drafts()
    monkeypatch.setattr("tools.frozen_contracts.drafts", lambda *_: [*known, CREATED])
    monkeypatch.delenv("PULSECART_CI", raising=False)
    assert main(["--check"]) == 0
    monkeypatch.setenv("PULSECART_CI", "1")
    assert main(["--check"]) == 1
    assert f"contracts/{CREATED} is a draft: delete its $comment, then run ./scripts" in capsys.readouterr().err


def test_the_check_answers_with_its_exit_status(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("PULSECART_CI", raising=False)
    assert main(["--check"]) == 0
    assert capsys.readouterr().err == ""
