"""Stores the products of partners in PostgreSQL, and answers whose an order or a product is."""

from collections.abc import Sequence

from pulsecart.runtime.db.database import Tx, as_json
from pulsecart.runtime.event import is_id
from pulsecart.runtime.problem import NotFound, Refused

# Whether each order or product is the partner's own: [partner, order, product], one of the last two is null.
OWN = """
    SELECT CASE WHEN asked ->> 1 IS NULL THEN EXISTS (
        SELECT FROM partner_products p WHERE p.product_id = asked ->> 2 AND p.partner_id = asked ->> 0
    ) ELSE (
        SELECT coalesce(bool_and(p.partner_id IS NOT NULL), false)
        FROM order_items i
        LEFT JOIN partner_products p ON p.product_id = i.product_id AND p.partner_id = asked ->> 0
        WHERE i.order_id = (asked ->> 1)::uuid
    ) END
    FROM json_array_elements(%s::json) WITH ORDINALITY AS t (asked, place) ORDER BY place
"""
WAITING = """
    SELECT count(*) FROM orders o
    WHERE o.status = 'PAID' AND EXISTS (
        SELECT FROM order_items i WHERE i.order_id = o.order_id AND i.product_id = %(product)s
    ) AND NOT EXISTS (
        SELECT FROM order_items i WHERE i.order_id = o.order_id AND NOT EXISTS (
            SELECT FROM partner_products p WHERE p.product_id = i.product_id AND p.partner_id = %(partner)s
        )
    )
"""


async def are_own(tx: Tx, asked: Sequence[tuple[str, bool, str]]) -> list[bool]:
    """
    Return, for each (partner, whether it is an order, its id), whether it is the partner's own.

    An order is a partner's own if all its products are; an unknown one belongs to no partner.
    """
    rows = [(partner, _uuid(id) if order else None, None if order else id) for partner, order, id in asked]
    return [row[0] for row in await tx.rows(OWN, (as_json(rows),))]


def _uuid(order_id: str) -> str:
    return order_id if is_id(order_id) else "00000000-0000-0000-0000-000000000000"


async def owners(tx: Tx, product_ids: Sequence[str]) -> dict[str, str]:
    """Return product → partner; none of them can be taken from its partner before the transaction ends."""
    rows = await tx.rows(
        "SELECT product_id, partner_id FROM partner_products WHERE product_id = ANY(%s)"
        ' ORDER BY product_id COLLATE "C" FOR KEY SHARE',
        (list(product_ids),),
    )
    return dict(rows)


async def assign(tx: Tx, partner_id: str, product_id: str) -> None:
    """
    Give a product to a partner; repeated, it changes nothing.

    Raises:
        NotFound: there is no such product.
        Refused: it belongs to another partner.
    """
    if await tx.row("SELECT 1 FROM products WHERE product_id = %s FOR KEY SHARE", (product_id,)) is None:
        raise NotFound("unknown-product", f"There is no product {product_id[:64]}.")
    await tx.execute(
        "INSERT INTO partner_products (product_id, partner_id, assigned_at) VALUES (%s, %s, %s) ON CONFLICT DO NOTHING",
        (product_id, partner_id, tx.now),
    )
    row = await tx.row("SELECT partner_id FROM partner_products WHERE product_id = %s", (product_id,))
    if row != (partner_id,):
        raise Refused(
            "product-assigned", f"Product {product_id[:64]} belongs to another partner. Take it from that one first."
        )


async def take_away(tx: Tx, partner_id: str, product_id: str) -> None:
    """
    Take a product from a partner.

    Raises:
        NotFound: it is not this partner's.
        Refused: paid orders wait for this partner's report; without the product they would never be fulfilled.
    """
    own = "partner_products WHERE product_id = %s AND partner_id = %s"
    if await tx.row(f"SELECT 1 FROM {own} FOR UPDATE", (product_id, partner_id)) is None:
        raise NotFound("unknown-product", f"Product {product_id[:64]} does not belong to this partner.")
    row = await tx.row(WAITING, {"product": product_id, "partner": partner_id})
    if row and row[0]:
        raise Refused(
            "orders-waiting",
            f"{row[0]} paid orders wait for this partner's report. Try again when they are fulfilled or canceled.",
            orders=row[0],
        )
    await tx.execute(f"DELETE FROM {own}", (product_id, partner_id))


async def listed(tx: Tx, partner_id: str, after: str, limit: int) -> list[str]:
    """Return the partner's products in the order of their ids, those behind ``after``."""
    rows = await tx.rows(
        "SELECT product_id FROM partner_products WHERE partner_id = %s AND product_id > %s"
        " ORDER BY product_id LIMIT %s",
        (partner_id, after, limit),
    )
    return [row[0] for row in rows]
