"""An operation starts from zero during a request, so the work before its first answer is bounded."""

import pytest

from benchmarks.operation_start import HELLO, Start, start
from pulsecart.processes import registry

OPERATIONS = registry.names()
ASK_THE_GATE = {"checkout", "flash_sales", "notify", "products", "refresh_products", "reserve", "stock"}
HELLO_TURNS = 3
TURNS_MORE = 10  # before it is called too slow: on a busy machine the first ones may all be disturbed
# CPU from the command to the first byte of the first answer ÷ that of functions-framework's hello-world.
BUDGET = dict.fromkeys(OPERATIONS, 1.5) | dict.fromkeys(ASK_THE_GATE, 1.75) | {"edge": 2.0, "relay": 1.75}
# Loaded by what uses them, when it does.
NOT_AT_START = {
    "aiohttp",
    "boto3",
    "flask",
    "functions_framework",
    "google",
    "grpc",
    "httpx",
    "jsonschema_rs",
    "jwt",
    "opentelemetry",
    "prometheus_client",
    "regorus",
    "requests",
    "urllib3",
    "websockets",
}
STREAMS = {"starlette"}
GATE = {"redis"}
EVENTING = {"cronsim", "yaml"}
MAY = {"edge": STREAMS | GATE, "relay": EVENTING} | dict.fromkeys(ASK_THE_GATE, GATE)


@pytest.fixture(scope="module")
def least() -> dict[str, float]:
    """Provide each operation's least CPU so far, ms: other programs only add to it, so a slow one is measured again."""
    hello = min(start(HELLO).cpu_ms for _ in range(HELLO_TURNS))
    return {HELLO: hello} | {name: start(name).cpu_ms for name in OPERATIONS}


@pytest.mark.parametrize("name", OPERATIONS)
def test_nothing_is_loaded_before_it_is_used(name: str) -> None:
    loaded = {module for module in start(name, importtime=True).modules if "." not in module}
    refused = (NOT_AT_START | STREAMS | GATE | EVENTING) - MAY.get(name, set())
    assert "psycopg" in loaded
    assert not loaded & refused, f"import these where {name} uses them"


@pytest.mark.timeout(300)  # the first of these starts everything
@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_starts_within_its_budget(name: str, least: dict[str, float]) -> None:
    for _ in range(TURNS_MORE):
        if least[name] <= least[HELLO] * BUDGET[name]:
            break
        for again in (HELLO, name):
            least[again] = min(least[again], start(again).cpu_ms)
    ratio = least[name] / least[HELLO]
    assert ratio <= BUDGET[name], f"{ratio:.2f} × hello-world's {least[HELLO]:.0f} ms\n{_heaviest(start(name, True))}"


def _heaviest(reported: Start) -> str:
    packages: dict[str, float] = {}
    for module, own_us in reported.modules.items():
        package = module.partition(".")[0]
        packages[package] = packages.get(package, 0) + own_us / 1000
    worst = sorted(packages.items(), key=lambda one: -one[1])[:12]
    return "\n".join(f"{ms:6.1f} ms  {package}" for package, ms in worst)
