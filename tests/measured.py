"""Names the variables by which a process that a test starts has its lines measured, where the test sets the others."""

import os

MEASURED = {name: value for name, value in os.environ.items() if name.startswith("COVERAGE_")}
