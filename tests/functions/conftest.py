"""Whatever these tests make the operations emit keeps its contract."""

from tests.contracts.emitted import _contractual_outbox

__all__ = ["_contractual_outbox"]
