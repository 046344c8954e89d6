"""The audit's verdict: what PostgreSQL's books say, compared with the gate, as data."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = dict[str, Any]
GATE_HOLDS = "the gate has the units and the epoch that PostgreSQL has"
PRODUCTS, UNDER_WAY, ORDERS, DEAD_LETTERS = "products", "under-way", "orders", "dead-letters"  # asked beside the rules
NEEDED_BY_GATE = frozenset({PRODUCTS, UNDER_WAY})


@dataclass(frozen=True, slots=True)
class Finding:
    """One rule that does not hold: ``total`` rows break it, ``rows`` are the first of them."""

    check: str
    holds: str
    total: int
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Unasked:
    """One rule of which nobody knows whether it holds, and why it could not be asked."""

    check: str
    holds: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """Units. ``initial`` is all that was ever stocked by hand, ``left`` what can still be sold."""

    product_id: str
    initial: int
    left: int
    held: int
    sold: int
    epoch: int
    buyer_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Shelf:
    """A product as the gate has it; ``claims`` are under way: their orders have not committed yet."""

    epoch: int
    left: int
    claims: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """
    What is still under way.

    Args:
        events: trigger → events it has yet to deliver.
        pending: orders whose stock is still to be taken.
        overdue: confirmed orders about to expire.
        claims: product → claims in the gate whose orders have not committed yet.
    """

    events: Mapping[str, int] = field(default_factory=dict)
    pending: int = 0
    overdue: int = 0
    claims: Mapping[str, int] = field(default_factory=dict)

    def __bool__(self) -> bool:
        return bool(self.events or self.pending or self.overdue or self.claims)


@dataclass(frozen=True, slots=True, kw_only=True)
class Books:
    """One moment of the database."""

    taken_at: datetime
    products: Sequence[Product]
    orders: Mapping[str, int]
    findings: Sequence[Finding]
    unsettled: Unsettled
    dead_letters: Sequence[Row]
    unasked: Sequence[Unasked] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``gate``: product → shelf, None where no gate was looked at; a product that is not in it is not on sale now."""

    books: Books
    gate: Mapping[str, Shelf] | None
    findings: Sequence[Finding]
    unsettled: Unsettled
    unasked: Sequence[Unasked] = ()

    @property
    def clean(self) -> bool:
        """Every rule was asked, and holds."""
        return not self.findings and not self.unasked

    def document(self) -> Row:
        """The report as JSON members."""
        return {
            "clean": self.clean,
            "settled": not self.unsettled,
            "takenAt": self.books.taken_at.isoformat(),
            "products": [self._product(product) for product in self.books.products],
            "orders": dict(self.books.orders),
            "findings": [
                {"check": f.check, "holds": f.holds, "total": f.total, "rows": list(f.rows)} for f in self.findings
            ],
            "unasked": [{"check": u.check, "holds": u.holds, "reason": u.reason} for u in self.unasked],
            "unsettled": {
                "events": dict(self.unsettled.events),
                "pending": self.unsettled.pending,
                "overdue": self.unsettled.overdue,
                "claims": dict(self.unsettled.claims),
            },
            "deadLetters": [dict(row) for row in self.books.dead_letters],
        }

    def _product(self, product: Product) -> Row:
        shelf = (self.gate or {}).get(product.product_id)
        gate = {"epoch": shelf.epoch, "left": shelf.left, "claims": shelf.claims} if shelf else None
        return {
            "productId": product.product_id,
            "initial": product.initial,
            "left": product.left,
            "held": product.held,
            "sold": product.sold,
            "buyerLimit": product.buyer_limit,
            "epoch": product.epoch,
            "gate": gate,
        }


def judge(
    books: Books,
    gate: Mapping[str, Shelf] | None,
    *,
    gate_unasked: Sequence[str] = (),
    must_be_settled: bool = False,
) -> Report:
    """
    Args:
        gate: read within a moment of the books; its differences count only when nothing is under way.
        gate_unasked: why the gate, or a part of it, could not be read.
        must_be_settled: what is still under way is itself a finding: it was waited for.
    """
    claims = {product: shelf.claims for product, shelf in (gate or {}).items() if shelf.claims}
    was = books.unsettled
    unsettled = Unsettled(events=was.events, pending=was.pending, overdue=was.overdue, claims=claims)
    findings = list(books.findings)
    missing = [one.check for one in books.unasked if one.check in NEEDED_BY_GATE]
    if gate is not None and missing:
        gate_unasked = [*gate_unasked, f"it is compared with {' and '.join(missing)}, which could not be asked"]
    elif gate is not None and not unsettled:
        findings += gate_findings(books.products, gate)
    if must_be_settled and unsettled:
        findings.append(_never_settled(unsettled))
    unasked = [*books.unasked, *(Unasked("gate", GATE_HOLDS, reason) for reason in gate_unasked)]
    return Report(books=books, gate=gate, findings=findings, unsettled=unsettled, unasked=unasked)


def gate_findings(products: Sequence[Product], gate: Mapping[str, Shelf]) -> list[Finding]:
    """Where the gate has other units or another epoch than PostgreSQL; it counts only when nothing is under way."""
    rows = []
    for product in products:
        shelf = gate.get(product.product_id)
        if shelf is not None and (shelf.left, shelf.epoch) != (product.left, product.epoch):
            row = {"product_id": product.product_id, "left": product.left, "gate_left": shelf.left}
            rows.append({**row, "epoch": product.epoch, "gate_epoch": shelf.epoch})
    known = {product.product_id for product in products}
    rows += [{"product_id": id, "left": None, "gate_left": gate[id].left} for id in sorted(gate.keys() - known)]
    return [Finding("gate", GATE_HOLDS, len(rows), rows)] if rows else []


def _never_settled(unsettled: Unsettled) -> Finding:
    rows: list[Row] = [{"under_way": f"events for {trigger}", "count": n} for trigger, n in unsettled.events.items()]
    rows += [{"under_way": f"claims on product {product}", "count": n} for product, n in unsettled.claims.items()]
    if unsettled.pending:
        rows.append({"under_way": "orders PENDING", "count": unsettled.pending})
    if unsettled.overdue:
        rows.append({"under_way": "orders past their pay_by", "count": unsettled.overdue})
    return Finding("settled", "what was under way came to an end within the time given", len(rows), rows)
