"""Runs the shop's audit, which checks the sale in the database."""

import os
import subprocess
import sys
from collections.abc import Mapping


def audit(environment: Mapping[str, str], settle_timeout_s: float) -> bool:
    """Run the audit, which prints its report; True when it is clean."""
    command = [sys.executable, "-m", "pulsecart.admin.audit", "--settle-timeout", f"{settle_timeout_s:g}"]
    return subprocess.run(command, env={**os.environ, **environment}, check=False).returncode == 0
