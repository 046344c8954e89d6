"""Compares every event that these tests emit with its contract."""

from tests.contracts.emitted import _contractual_outbox

__all__ = ["_contractual_outbox"]
