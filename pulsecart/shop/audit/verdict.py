"""Builds the audit's verdict as data: PostgreSQL's books compared with the gate."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

Row = dict[str, Any]
GATE_HOLDS = "the gate has the units and the epoch that PostgreSQL has"
PRODUCTS, UNDER_WAY, ORDERS, DEAD_LETTERS = "products", "under-way", "orders", "dead-letters"  # read beside the rules
NEEDED_BY_GATE = frozenset({PRODUCTS, UNDER_WAY})


@dataclass(frozen=True, slots=True)
class Finding:
    """One broken rule: ``total`` rows break it, ``rows`` are the first of them."""

    check: str
    holds: str
    total: int
    rows: Sequence[Row]


@dataclass(frozen=True, slots=True)
class Unchecked:
    """One rule that could not be checked, and the reason."""

    check: str
    holds: str
    reason: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Product:
    """A product's units: ``initial`` is the sum of all manual stock changes, ``left`` the units still for sale."""

    product_id: str
    initial: int
    left: int
    held: int
    sold: int
    epoch: int
    buyer_limit: int


@dataclass(frozen=True, slots=True, kw_only=True)
class GateReading:
    """A product's state in the gate; ``claims`` counts in-flight claims, whose orders have not committed yet."""

    epoch: int
    left: int
    claims: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Unsettled:
    """
    Work that is still in flight.

    Args:
        events: trigger → undelivered events.
        pending: orders whose stock has not been taken yet.
        overdue: confirmed orders past their payment deadline.
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
    """The audited data from one snapshot of the database."""

    taken_at: datetime
    products: Sequence[Product]
    orders: Mapping[str, int]
    findings: Sequence[Finding]
    unsettled: Unsettled
    dead_letters: Sequence[Row]
    unchecked: Sequence[Unchecked] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """``gate``: product → shelf, None if no gate was read; products absent from it are not on sale now."""

    books: Books
    gate: Mapping[str, GateReading] | None
    findings: Sequence[Finding]
    unsettled: Unsettled
    unchecked: Sequence[Unchecked] = ()

    @property
    def clean(self) -> bool:
        """Whether every rule was checked and holds."""
        return not self.findings and not self.unchecked

    def document(self) -> Row:
        """Return the report as JSON members."""
        return {
            "clean": self.clean,
            "settled": not self.unsettled,
            "takenAt": self.books.taken_at.isoformat(),
            "products": [self._product(product) for product in self.books.products],
            "orders": dict(self.books.orders),
            "findings": [
                {"check": f.check, "holds": f.holds, "total": f.total, "rows": list(f.rows)} for f in self.findings
            ],
            "unasked": [{"check": u.check, "holds": u.holds, "reason": u.reason} for u in self.unchecked],
            "unsettled": {
                "events": dict(self.unsettled.events),
                "pending": self.unsettled.pending,
                "overdue": self.unsettled.overdue,
                "claims": dict(self.unsettled.claims),
            },
            "deadLetters": [dict(row) for row in self.books.dead_letters],
        }

    def _product(self, product: Product) -> Row:
        reading = (self.gate or {}).get(product.product_id)
        gate = {"epoch": reading.epoch, "left": reading.left, "claims": reading.claims} if reading else None
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
    gate: Mapping[str, GateReading] | None,
    *,
    gate_unchecked: Sequence[str] = (),
    must_be_settled: bool = False,
) -> Report:
    """
    Args:
        gate: read shortly before or after the books; its differences count only when nothing is in flight.
        gate_unchecked: the reasons why the gate, or a part of it, could not be read.
        must_be_settled: the caller waited, so work that is still in flight is a finding.
    """
    claims = {product: reading.claims for product, reading in (gate or {}).items() if reading.claims}
    was = books.unsettled
    unsettled = Unsettled(events=was.events, pending=was.pending, overdue=was.overdue, claims=claims)
    findings = list(books.findings)
    missing = [one.check for one in books.unchecked if one.check in NEEDED_BY_GATE]
    if gate is not None and missing:
        gate_unchecked = [*gate_unchecked, f"it is compared with {' and '.join(missing)}, which did not answer"]
    elif gate is not None and not unsettled:
        findings += gate_findings(books.products, gate)
    if must_be_settled and unsettled:
        findings.append(_never_settled(unsettled))
    unchecked = [*books.unchecked, *(Unchecked("gate", GATE_HOLDS, reason) for reason in gate_unchecked)]
    return Report(books=books, gate=gate, findings=findings, unsettled=unsettled, unchecked=unchecked)


def gate_findings(products: Sequence[Product], gate: Mapping[str, GateReading]) -> list[Finding]:
    """Return products whose units or epoch differ between gate and PostgreSQL; valid only with nothing in flight."""
    rows = []
    for product in products:
        reading = gate.get(product.product_id)
        if reading is not None and (reading.left, reading.epoch) != (product.left, product.epoch):
            row = {"product_id": product.product_id, "left": product.left, "gate_left": reading.left}
            rows.append({**row, "epoch": product.epoch, "gate_epoch": reading.epoch})
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
    return Finding("settled", "the work in progress ended within the given time", len(rows), rows)
