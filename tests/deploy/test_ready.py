"""scripts/deploy reports the objects that were not Ready in time, even if the API is too slow for a last query."""

from collections.abc import Sequence
from typing import Any

import pytest

from tests.kubectl import need_kubectl
from tools.deploy import overlay, ready
from tools.deploy.cluster import CannotDeploy
from tools.deploy.time_budget import TimeBudget
from tools.operations_table import ROOT

STOCK: dict[str, Any] = {"kind": "Service", "metadata": {"name": "stock", "generation": 1}, "status": {}}


@pytest.mark.parametrize("slow", ["the list", "the reasons"])
def test_the_last_answer_counts_where_the_time_ends_in_a_question(monkeypatch: pytest.MonkeyPatch, slow: str) -> None:
    clock = [0.0]
    time_budget = TimeBudget(lambda: clock[0])
    time_budget.begin(30)

    def answered(_: str, __: str) -> list[dict[str, Any]]:
        if clock[0] > 20 and slow == "the list":
            clock[0] += 60
            raise CannotDeploy("the cluster did not answer")
        return [STOCK]

    def reasons(waiting: Sequence[Any], _: str) -> list[str]:
        if clock[0] == 20 and slow == "the reasons":
            clock[0] += 60
            raise CannotDeploy("the cluster did not answer")
        return [f"{len(waiting)} without an image"]

    def sleep(_: float) -> None:
        clock[0] += 10

    for name, value in (
        ("time_budget", time_budget),
        ("listed", answered),
        ("reasons", reasons),
        ("PATIENCE_S", 0),
        ("AGAIN_S", -1),
    ):
        monkeypatch.setattr(ready, name, value)
    monkeypatch.setattr("tools.deploy.ready.time.sleep", sleep)
    with pytest.raises(CannotDeploy, match=r"not Ready: Service stock\n  1 without an image"):
        ready.wait({"Service stock"}, "pulsecart", lambda _: None)


def test_a_secret_s_values_are_one_line_so_that_a_second_apply_changes_nothing() -> None:
    need_kubectl("overlays are not built")
    secrets = [one for one in overlay.read(ROOT / "k8s" / "overlays" / "kind") if one["kind"] == "Secret"]
    assert secrets
    assert [value for one in secrets for value in one["data"].values() if value.split() != [value]] == []
