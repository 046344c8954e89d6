"""The simulated gateway's books. Nothing of the shop joins them: it knows what the gateway answered, no more."""

from shop.db.pool import Tx

COLUMNS = "idempotency_key, status, reference, amount_minor, currency"
ChargeRow = tuple[str, str, str, int, str]


async def behaviour(tx: Tx) -> tuple[str, float]:
    """How it was told to behave: mode, and towards which share of the keys."""
    row = await tx.row("SELECT mode, share FROM simulated_gateway.behaviour")
    return (row[0], row[1]) if row else ("approve", 1.0)


async def behave(tx: Tx, mode: str, share: float) -> None:
    """From now on."""
    await tx.execute("UPDATE simulated_gateway.behaviour SET mode = %s, share = %s", (mode, share))


async def first_answer(tx: Tx, key: str, *, status: str, reference: str, amount_minor: int, currency: str) -> ChargeRow:
    """The charge under ``key``: this one where there was none yet. Its row is locked."""
    await tx.execute(
        f"""
        INSERT INTO simulated_gateway.charges ({COLUMNS}, created_at, updated_at)
        VALUES (%s, %s, %s, %s, %s, %s, %s) ON CONFLICT DO NOTHING
        """,
        (key, status, reference, amount_minor, currency, tx.now, tx.now),
    )
    found = await find(tx, key)
    if found is None:
        raise LookupError(f"the charge {key} was written and is not there")
    return found


async def find(tx: Tx, key: str) -> ChargeRow | None:
    """The charge under ``key``, its row locked."""
    row = await tx.row(f"SELECT {COLUMNS} FROM simulated_gateway.charges WHERE idempotency_key = %s FOR UPDATE", (key,))
    return (row[0], row[1], row[2], row[3], row[4]) if row else None


async def give_back(tx: Tx, key: str) -> None:
    """The money of a charge whose row is locked."""
    await tx.execute(
        "UPDATE simulated_gateway.charges SET status = 'REFUNDED', updated_at = %s WHERE idempotency_key = %s",
        (tx.now, key),
    )
