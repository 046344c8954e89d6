"""Each operation gets the Secrets that its code uses, and no other; migrations alone get the schema owner's."""

import ast
from base64 import b64decode
from collections.abc import Iterator
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from pulsecart.processes import registry
from pulsecart.processes.function import SIGNER
from pulsecart.runtime.deps import close_deps, open_deps
from pulsecart.runtime.settings import MissingSetting, Settings, read
from pulsecart.serving import health
from pulsecart.serving.operation import Operation
from tests.wiring.test_manifests import COMPONENTS, OVERLAYS, of_kind, services
from tools.deploy.cluster import references
from tools.deploy.needs import SECRET_KEYS
from tools.operations_table import ROOT

ROOMS = ("functions", "pulsecart")
OPERATIONS = registry.load_all()
# What every process has loaded: it asks Redis only where an operation is configured with one
# (pulsecart.serving.health).
BASE = ("pulsecart.serving.operation", "pulsecart.processes.function")


@cache
def modules() -> dict[str, Path]:
    paths = [path for room in ROOMS for path in (ROOT / room).rglob("*.py")]
    found = {path: path.relative_to(ROOT).with_suffix("").as_posix() for path in paths}
    return {name.replace("/", ".").removesuffix(".__init__"): path for path, name in found.items()}


@cache
def tree(module: str) -> ast.Module:
    return ast.parse(modules()[module].read_text())


SEALING = "pulsecart.runtime.sealing"
OF_COMPONENTS = {"pulsecart-metrics"}  # the component that needs it names it


def imported(module: str) -> Iterator[str]:
    """Yield our modules that it imports, also inside its functions, without those for type checkers only."""
    typing = {id(part) for node in ast.walk(tree(module)) if _type_checking(node) for part in ast.walk(node)}
    for node in ast.walk(tree(module)):
        if id(node) in typing:
            continue
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names if name.name in modules())
        elif isinstance(node, ast.ImportFrom) and node.module:
            named = (node.module, *(f"{node.module}.{name.name}" for name in node.names))
            yield from (name for name in named if name in modules())


def _type_checking(node: ast.AST) -> bool:
    return isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"


@cache
def reached(module: str) -> frozenset[str]:
    seen: set[str] = set()
    waiting = [module]
    while waiting:
        one = waiting.pop()
        if one not in seen:
            seen.add(one)
            waiting += imported(one)
    return frozenset(seen)


def uses_redis(name: str) -> bool:
    """Return whether an attribute ``redis`` is used in code that not every operation loads."""
    own = reached(f"functions.{name}.main").difference(*(reached(base) for base in BASE))
    return any(isinstance(node, ast.Attribute) and node.attr == "redis" for one in own for node in ast.walk(tree(one)))


def uses_sealing(name: str) -> bool:
    return SEALING in reached(f"functions.{name}.main")


def needed(name: str, operation: Operation) -> set[str]:
    needs = {"pulsecart-database"}
    if operation.redis:
        needs.add("pulsecart-redis")
    if any(route.allow.roles is not None for route in operation.routes):
        needs.add("pulsecart-session")  # a session may be shown instead of a token
    if operation.verifies_events or name == SIGNER:
        needs.add("pulsecart-events")
    if operation.seals:
        needs.add("pulsecart-webhooks")
    return needs


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_says_that_it_uses_redis_exactly_where_its_code_does(name: str) -> None:
    assert OPERATIONS[name].redis is uses_redis(name), f"mend redis= in functions/{name}/main.py"


@pytest.mark.parametrize("name", sorted(OPERATIONS))
def test_an_operation_says_that_it_seals_secrets_exactly_where_its_code_does(name: str) -> None:
    assert OPERATIONS[name].seals is uses_sealing(name), f"mend seals= in functions/{name}/main.py"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_its_manifest_gives_it_the_secrets_that_it_uses_and_no_other(overlay: str) -> None:
    deployed = services(overlay)
    for name, operation in OPERATIONS.items():
        if operation.dns_name not in deployed:
            assert operation.dns_name in COMPONENTS
            continue
        given = {one["name"] for one in references(deployed[operation.dns_name], "secretRef", "secretKeyRef", "secret")}
        assert given == needed(name, operation), f"mend the labels of k8s/base/operations/{operation.dns_name}.yaml"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_the_owner_of_the_schema_is_known_to_the_migrations_alone(overlay: str) -> None:
    (job,) = of_kind(overlay, "Job", "batch/").values()
    assert {one["name"] for one in references(job, "secretRef")} == {"pulsecart-migrations", "pulsecart-database"}
    for one in services(overlay).values():
        assert "pulsecart-migrations" not in {ref["name"] for ref in references(one, "secretRef", "secretKeyRef")}


def test_what_operations_are_given_holds_no_password_but_their_own() -> None:
    secrets = {
        name: {key: b64decode(value).decode() for key, value in one["data"].items()}
        for name, one in of_kind("k8s/overlays/kind", "Secret", "v1").items()
    }
    assert {name: set(held) - {"PASSWORD"} for name, held in secrets.items()} == {
        name: {key} for name, key in SECRET_KEYS.items() if name not in OF_COMPONENTS
    }
    assert "PASSWORD" not in secrets["pulsecart-database"]
    owner, operations = (
        conninfo_to_dict(secrets[name][SECRET_KEYS[name]]) for name in ("pulsecart-migrations", "pulsecart-database")
    )
    assert owner["user"] != operations["user"]
    assert owner["dbname"] == operations["dbname"]


def test_production_names_every_secret_that_must_exist() -> None:
    reported = (ROOT / "k8s" / "overlays" / "production" / "kustomization.yaml").read_text()
    for secret, key in SECRET_KEYS.items():
        if secret in OF_COMPONENTS:
            continue
        assert f"#   {secret} " in reported
        assert key in reported


def test_an_operation_without_redis_starts_without_its_url_and_one_with_it_does_not() -> None:
    given = {"DATABASE_URL": "postgresql:///nowhere"}
    assert read(given, optional=("redis_url",)).redis_url == ""
    with pytest.raises(MissingSetting, match="REDIS_URL"):
        read(given)


async def test_its_readiness_asks_for_no_redis_that_it_was_not_given(settings: Settings) -> None:
    alone = open_deps(replace(settings, redis_url=""))
    assert (await health.up(alone)).status == 200
    await close_deps(alone)
