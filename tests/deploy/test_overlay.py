"""Tests the migrations' Job across releases: Kubernetes allows no change of an existing Job."""

from typing import Any

import pytest

from tools.deploy import overlay
from tools.deploy.cluster import Object
from tools.operations_table import ROOT

IMAGE = "dev.local/pulsecart:new"


@pytest.fixture
def cluster(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """Provide the cluster's Job under ``job``, None for none; ``deleted`` lists the deleted objects."""
    state: dict[str, Any] = {"job": None, "deleted": []}
    monkeypatch.setattr(overlay, "found", lambda kind, name, namespace: state["job"])
    monkeypatch.setattr(overlay, "kubectl", lambda *arguments: state["deleted"].append(arguments[:3]))
    return state


def there(image: str, **conditions: str) -> Object:
    return {
        "metadata": {},
        "spec": {"template": {"spec": {"containers": [{"image": image, "command": ["another", "command"]}]}}},
        "status": {"conditions": [{"type": name, "status": status} for name, status in conditions.items()]},
    }


def applied() -> tuple[list[Object], list[str]]:
    """Return the Jobs that would be applied, and every image of the shop beside them."""
    documents = overlay.with_image(
        [
            {
                "kind": kind,
                "metadata": {"name": "migrate-19"},
                "spec": {"template": {"spec": {"containers": [{"image": image}]}}},
            }
            for kind, image in (("Job", "dev.local/pulsecart-migrations:dev"), ("Service", "dev.local/pulsecart:dev"))
        ],
        IMAGE,
        "pulsecart",
    )
    images = [str(one["image"]) for document in documents for one in overlay.containers(document)]
    return [one for one in documents if one["kind"] == "Job"], images


def test_a_job_that_is_not_there_is_made_with_this_image(cluster: dict[str, Any]) -> None:
    jobs, images = applied()
    assert len(jobs) == 1
    assert images == [IMAGE, IMAGE]


@pytest.mark.parametrize("image", [IMAGE, "dev.local/pulsecart:old"])
def test_a_complete_job_is_left_alone_whatever_this_release_changed_in_it(cluster: dict[str, Any], image: str) -> None:
    cluster["job"] = there(image, Complete="True")
    assert applied() == ([], [IMAGE])
    assert cluster["deleted"] == []


@pytest.mark.parametrize(
    "job",
    [there("dev.local/pulsecart:old"), there("dev.local/pulsecart:old", Failed="True"), there(IMAGE, Failed="True")],
    ids=["of an older image", "failed with an older image", "failed"],
)
def test_a_job_that_cannot_complete_is_made_again(cluster: dict[str, Any], job: Object) -> None:
    cluster["job"] = job
    assert len(applied()[0]) == 1
    assert cluster["deleted"] == [("delete", "job", "migrate-19")]


def test_a_job_that_runs_with_this_image_goes_on(cluster: dict[str, Any]) -> None:
    cluster["job"] = there(IMAGE)
    assert len(applied()[0]) == 1
    assert cluster["deleted"] == []


def test_every_overlay_has_one_job_and_its_name_has_its_migration() -> None:
    for name in ("kind", "production"):
        jobs = [
            one["metadata"]["name"] for one in overlay.read(ROOT / "k8s" / "overlays" / name) if one["kind"] == "Job"
        ]
        assert len(jobs) == 1, name
        assert jobs[0].startswith("migrate-")
