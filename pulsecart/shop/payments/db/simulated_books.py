"""The simulated gateway's books. Nothing of the shop joins them: they know what the gateway answered, no more."""

from collections.abc import Sequence
from typing import Any

from pulsecart.runtime.db.database import Tx, as_json

COLUMNS = "idempotency_key, status, reference, amount_minor, currency"
FIRST_ANSWERS = f"""
    INSERT INTO simulated_gateway.charges ({COLUMNS}, created_at, updated_at)
    SELECT {COLUMNS}, %s, %s
    FROM json_to_recordset(%s::json)
         AS t (idempotency_key text, status text, reference text, amount_minor bigint, currency text)
    ORDER BY idempotency_key ON CONFLICT DO NOTHING
"""
ChargeRow = tuple[str, str, str, int, str]


async def behaviour(tx: Tx) -> tuple[str, float]:
    """How it was told to behave: mode, and towards which share of the keys."""
    row = await tx.row("SELECT mode, share FROM simulated_gateway.behaviour")
    return (row[0], row[1]) if row else ("approve", 1.0)


async def behave(tx: Tx, mode: str, share: float) -> None:
    """From now on."""
    await tx.execute("UPDATE simulated_gateway.behaviour SET mode = %s, share = %s", (mode, share))


async def first_answers(tx: Tx, charges: Sequence[ChargeRow]) -> dict[str, ChargeRow]:
    """The charges under these keys: each of these where there was none yet. Their rows are locked."""
    named: list[dict[str, Any]] = [dict(zip(COLUMNS.split(", "), charge, strict=True)) for charge in charges]
    await tx.execute(FIRST_ANSWERS, (tx.now, tx.now, as_json(named)))
    return await find(tx, [charge[0] for charge in charges])


async def find(tx: Tx, keys: Sequence[str]) -> dict[str, ChargeRow]:
    """The charges there are under these keys, their rows locked."""
    rows = await tx.rows(
        f"""
        SELECT {COLUMNS} FROM simulated_gateway.charges WHERE idempotency_key = ANY(%s)
        ORDER BY idempotency_key FOR UPDATE
        """,
        (list(keys),),
    )
    return {row[0]: (row[0], row[1], row[2], row[3], row[4]) for row in rows}


async def give_back(tx: Tx, key: str) -> None:
    """The money of a charge whose row is locked."""
    await tx.execute(
        "UPDATE simulated_gateway.charges SET status = 'REFUNDED', updated_at = %s WHERE idempotency_key = %s",
        (tx.now, key),
    )
