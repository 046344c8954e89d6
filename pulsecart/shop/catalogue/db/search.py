"""Stores the projection product_search, which full-text search reads: each product's newest version."""

from collections.abc import Sequence

from msgspec import Struct

from pulsecart.runtime.db.database import Tx, as_json


class Row(Struct, frozen=True):
    """The data of one product event; its members are the table's columns."""

    product_id: str
    sequence: int
    deleted: bool
    sku: str
    name: str
    category: str
    description: str


PROJECT = """
    INSERT INTO product_search AS p (product_id, sequence, deleted, sku, name, category, description)
    SELECT * FROM json_to_recordset(%s::json) AS changed(product_id text, sequence bigint, deleted boolean, sku text,
        name text, category text, description text)
    ORDER BY product_id
    ON CONFLICT (product_id) DO UPDATE SET sequence = excluded.sequence, deleted = excluded.deleted,
        sku = excluded.sku, name = excluded.name, category = excluded.category, description = excluded.description
    WHERE excluded.sequence > p.sequence
"""


async def project(tx: Tx, rows: Sequence[Row]) -> None:
    """Keep each product's newest sequence."""
    newest: dict[str, Row] = {}
    for row in rows:
        held = newest.get(row.product_id)
        if held is None or row.sequence > held.sequence:
            newest[row.product_id] = row
    await tx.execute(PROJECT, (as_json(list(newest.values())),))


async def rebuild(tx: Tx) -> int:
    """Rebuild the projection from the products table and return the row count; events that arrive meanwhile wait."""
    await tx.execute("LOCK TABLE product_search IN SHARE ROW EXCLUSIVE MODE")
    await tx.execute("DELETE FROM product_search")
    made = await tx.execute(
        "INSERT INTO product_search (product_id, sequence, deleted, sku, name, category, description)"
        " SELECT product_id, version, deleted_at IS NOT NULL, sku, name, category, description FROM products"
    )
    return made.rowcount
