"""``./scripts/up --with pubsub``: starts an emulator, or uses the one that is named, and says how to get one."""

import os
from pathlib import Path

import pytest

from pulsecart.broker.manifests.eventing import load_all, profiles
from pulsecart.broker.manifests.strict_yaml import Misconfigured
from pulsecart.local import profiles as local_profiles
from pulsecart.local.cannot_start import CannotStart
from pulsecart.local.profiles import NAMES, Profiles
from pulsecart.local.pubsub_emulator import HOW, installed


@pytest.fixture(autouse=True)
def _no_installation(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(local_profiles, "packages", lambda name: "/packages/of/pubsub")


def started(data: Path, *names: str, **given: str) -> tuple[Profiles, list[str]]:
    said: list[str] = []
    made = Profiles(names, given, data, said.append)
    made.start()
    return made, said


def test_without_a_profile_nothing_is_started_and_no_trigger_of_one_exists(tmp_path: Path) -> None:
    made, said = started(tmp_path)
    assert (made.environ, made.servers, said) == ({}, [], [])
    assert not {trigger.name for trigger in load_all().triggers} & {"pubsub-publish"}


def test_every_profile_can_be_started_and_has_its_triggers() -> None:
    assert list(NAMES) == profiles()
    assert {trigger.name for trigger in load_all(["pubsub"]).triggers} - {
        trigger.name for trigger in load_all().triggers
    } == {"pubsub-publish"}


def test_a_profile_that_does_not_exist_stops_the_start() -> None:
    with pytest.raises(Misconfigured, match=r"no profile 'pub'\. Allowed: pubsub"):
        load_all(["pub"])


def test_an_emulator_that_is_named_is_used(tmp_path: Path) -> None:
    made, said = started(tmp_path, "pubsub", PUBSUB_EMULATOR_HOST="127.0.0.1:8085", PYTHONPATH="/mine")
    assert made.servers == []
    assert made.environ == {
        "PROFILES": "pubsub",
        "PUBSUB_PROJECT": "pulsecart",
        "PUBSUB_EMULATOR_HOST": "127.0.0.1:8085",
        "PUBSUB_CREATE_TOPICS": "true",
        "PYTHONPATH": "/packages/of/pubsub:/mine",
    }
    assert "127.0.0.1:8085" in said[0]


def test_a_project_of_google_is_used_as_it_is(tmp_path: Path) -> None:
    made, _ = started(tmp_path, "pubsub", PUBSUB_PROJECT="mine")
    assert made.servers == []
    assert (made.environ["PUBSUB_PROJECT"], made.environ["PUBSUB_EMULATOR_HOST"]) == ("mine", "")
    assert "PUBSUB_CREATE_TOPICS" not in made.environ


def test_without_an_emulator_it_says_how_to_get_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(CannotStart, match="gcloud components install pubsub-emulator") as raised:
        started(tmp_path, "pubsub")
    assert str(raised.value) == HOW


def test_an_installed_emulator_is_started_and_stopped(tmp_path: Path) -> None:
    if installed(os.environ) is None:
        pytest.skip("Google's emulator of Pub/Sub is not installed: gcloud components install pubsub-emulator")
    made, said = started(tmp_path, "pubsub")
    try:
        (emulator,) = made.servers
        assert emulator.is_ready()
        assert made.environ["PUBSUB_EMULATOR_HOST"] == emulator.host
        assert emulator.host in said[0]
    finally:
        made.stop()
    assert not emulator.is_ready()
