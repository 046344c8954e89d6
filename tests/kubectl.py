"""What needs kubectl is left out without it, but never in CI."""

import os
import shutil

import pytest


def need_kubectl(left_out: str) -> None:
    """
    Args:
        left_out: the sentence's end: ``overlays are not built``.
    """
    if shutil.which("kubectl") is None:
        if os.environ.get("PULSECART_CI"):
            pytest.fail("kubectl is not installed, and CI leaves nothing out")
        pytest.skip(f"kubectl is not installed: {left_out}")
