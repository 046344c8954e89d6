"""Skips tests that need a missing kubectl, but never in CI; adds a cluster's state to a failed test's report."""

import os
import shutil
import subprocess

import pytest

SAID_S = 20
LOGS = ("logs", "--all-containers", "--prefix", "--since=3m", "--tail=10", "--max-log-requests=60", "--ignore-errors")
LINES_MAX = 150  # of each answer: its last ones


def need_kubectl(left_out: str) -> None:
    """
    Args:
        left_out: the sentence's end: ``overlays are not built``.
    """
    if shutil.which("kubectl") is None:
        if os.environ.get("PULSECART_CI"):
            pytest.fail("kubectl is not installed, and CI leaves nothing out")
        pytest.skip(f"kubectl is not installed: {left_out}")


def add_cluster_state(report: pytest.TestReport, namespace: str, objects: str) -> None:
    """
    Add the namespace's objects, events and logs to the report of a test that failed.

    Args:
        objects: kinds as for ``kubectl get``: ``pods,ksvc``.
    """
    if report.failed:
        asked = (
            ("get", objects, "-o", "wide"),
            ("get", "events", "--sort-by=.metadata.creationTimestamp", "--field-selector=type!=Normal"),
            (*LOGS, "-l", "app.kubernetes.io/part-of=pulsecart"),
        )
        report.sections += [(f"kubectl {' '.join(one[:2])} -n {namespace}", _said(namespace, one)) for one in asked]


def _said(namespace: str, asked: tuple[str, ...]) -> str:
    try:
        done = subprocess.run(
            ("kubectl", "-n", namespace, *asked), capture_output=True, text=True, timeout=SAID_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    return "\n".join((done.stderr + done.stdout).splitlines()[-LINES_MAX:])
