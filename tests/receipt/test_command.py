"""Runs ``./scripts/receipt`` with the options of a user."""

import json
import os
import subprocess
import sys
from pathlib import Path

RECORDED = Path(__file__).parent / "recorded.jsonl"
ROOT = Path(__file__).parents[2]


def command(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    run = [sys.executable, "-m", "tools.receipt", *arguments]
    return subprocess.run(run, cwd=ROOT, env={**os.environ, **environ}, capture_output=True, text=True, check=False)


def test_a_recording_becomes_a_table_a_document_and_a_picture(tmp_path: Path) -> None:
    done = command("--read", str(RECORDED), "--json", str(tmp_path / "r.json"), "--svg", str(tmp_path / "r.svg"))
    assert done.returncode == 0, done.stderr
    assert "keep-dead-letter" in done.stdout
    assert json.loads((tmp_path / "r.json").read_text())["all"]["cold_starts"] == 15
    assert (tmp_path / "r.svg").read_text().startswith("<svg ")


def test_without_kubectl_it_says_where_to_get_it(tmp_path: Path) -> None:
    done = command("--for", "1", PATH=str(tmp_path))
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "kubectl is not installed: https://kubernetes.io/docs/tasks/tools/\n"


def test_without_a_cluster_it_says_so_in_a_sentence(tmp_path: Path) -> None:
    kubectl = tmp_path / "kubectl"
    kubectl.write_text("#!/bin/sh\necho noise >&2\necho 'The connection to the server was refused.' >&2\nexit 1\n")
    kubectl.chmod(0o755)
    done = command("--for", "1", PATH=f"{tmp_path}:{os.environ['PATH']}")
    assert done.returncode == 1
    assert done.stderr == "No cluster answers kubectl: The connection to the server was refused. Is KUBECONFIG set?\n"


def test_a_time_that_is_none_is_refused() -> None:
    done = command("--for", "soon")
    assert done.returncode == 2
    assert "'soon' is not a time: write 600, 90s, 10m or 2h" in done.stderr
