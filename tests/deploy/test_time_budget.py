"""scripts/deploy waits for --timeout: for a slow API as for pods, but without the time of a build."""

import subprocess
from typing import Any

import pytest

from tools.deploy import cluster
from tools.deploy.cluster import CannotDeploy, kubectl
from tools.deploy.time_budget import TimeBudget, time_budget

SLOW = "Unable to connect to the server: net/http: TLS handshake timeout"
BUSY = "Error from server (Timeout): the server was unable to return a response in the time allotted"


class Api:
    """Answers kubectl by the test's clock: each query takes ``takes_s``; the first ``fails`` of them fail."""

    def __init__(self, takes_s: float, *fails: str) -> None:
        self.now = 0.0
        self.asked = 0
        self._takes_s, self._fails = takes_s, list(fails)

    def run(self, command: list[str], *, timeout: float, **_: Any) -> "subprocess.CompletedProcess[str]":
        self.asked += 1
        self.now += min(self._takes_s, timeout)
        if self._takes_s > timeout:
            raise subprocess.TimeoutExpired(command, timeout)
        failed = self._fails.pop(0) if self._fails else ""
        return subprocess.CompletedProcess(command, bool(failed), "" if failed else "{}", failed)

    def sleep(self, seconds: float) -> None:
        self.now += seconds


@pytest.fixture
def ask(monkeypatch: pytest.MonkeyPatch) -> Any:
    def use(api: Api, timeout_s: float) -> Api:
        monkeypatch.setattr(cluster, "time_budget", made := TimeBudget(lambda: api.now))
        monkeypatch.setattr("tools.deploy.cluster.subprocess.run", api.run)
        monkeypatch.setattr("tools.deploy.cluster.time.sleep", api.sleep)
        made.begin(timeout_s)
        return api

    return use


def test_an_answer_after_minutes_is_an_answer(ask: Any) -> None:
    api = ask(Api(200.0), 600)
    assert [kubectl("get", "pods") for _ in range(2)] == ["{}", "{}"]
    assert api.now == 400


def test_the_timeout_ends_it_to_the_second(ask: Any) -> None:
    api = ask(Api(200.0), 300)
    kubectl("get", "pods")
    with pytest.raises(CannotDeploy, match=r"did not answer `kubectl get pods` within the 300 s of --timeout"):
        kubectl("get", "pods")
    assert api.now == 300


def test_what_kubectl_itself_gives_up_on_is_asked_again(ask: Any) -> None:
    api = ask(
        Api(
            10.0,
            SLOW,
            SLOW,
            "Error from server (Timeout): the server was unable to return a response in the time allotted",
        ),
        600,
    )
    assert kubectl("get", "pods") == "{}"
    assert api.asked == 4


def test_it_is_asked_again_only_while_there_is_time(ask: Any) -> None:
    api = ask(Api(10.0, *[SLOW] * 100), 45)
    with pytest.raises(CannotDeploy, match=r"TLS handshake timeout|within the 45 s"):
        kubectl("get", "pods")
    assert 40 <= api.now <= 46


def test_a_refusal_is_final(ask: Any) -> None:
    api = ask(Api(0.1, "Error from server (Forbidden): pods is forbidden"), 600)
    with pytest.raises(CannotDeploy, match="Forbidden"):
        kubectl("get", "pods")
    assert api.asked == 1


def test_a_build_is_not_the_clusters_time() -> None:
    api = Api(0)
    held = TimeBudget(lambda: api.now)
    held.begin(60)
    api.now += 10
    with held.paused():
        api.now += 3600
    assert held.left_s == 50
    assert time_budget.timeout_s == 600
