"""decide() never takes more than the available units, and a rejected order leaves nothing behind."""

from copy import deepcopy
from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from pulsecart.runtime.first_replies import FirstReply, Key
from pulsecart.shop.orders.decide import Denied, Dropped, Facts, Held, Intent, Outcome, Repeated, decide
from pulsecart.shop.orders.order import Line, Order
from pulsecart.shop.pricing.terms import SaleRow, StockRow, unit_price

NOW = datetime(2026, 1, 1, tzinfo=UTC)
PRODUCTS = ("p1", "p2", "p3")
BUYERS = ("b1", "b2")
SCOPES = (b"s1", b"s2")
WAITING = ("w1", "w2", "w3")

sales = st.none() | st.builds(
    lambda starts, lasts, limit: SaleRow(
        70, NOW + timedelta(seconds=starts), NOW + timedelta(seconds=starts + lasts), "sale", limit
    ),
    st.integers(-3, 3),
    st.integers(1, 4),
    st.integers(0, 2),
)
rows = st.builds(
    StockRow,
    available=st.integers(0, 5),
    epoch=st.integers(1, 2),
    version=st.just(7),
    buyer_limit=st.integers(0, 3),
    price_minor=st.just(100),
    currency=st.just("USD"),
    sale=sales,
)
lines = st.lists(st.sampled_from(PRODUCTS), min_size=1, max_size=3, unique=True).flatmap(
    lambda chosen: st.tuples(*(st.builds(Line, st.just(product), st.integers(1, 3)) for product in chosen))
)


def _in_a_sale(line: Line) -> st.SearchStrategy[Line]:
    return st.sampled_from([None, "sale", "over"]).map(lambda sale: replace(line, sale_id=sale))


lines_of_a_sale = lines.flatmap(lambda found: st.tuples(*map(_in_a_sale, found)))
keys = st.none() | st.builds(Key, st.sampled_from(SCOPES), st.sampled_from([b"h1", b"h2"]))


def order(order_id: str, buyer: str, lines: tuple[Line, ...], path: str, status: str = "PENDING") -> Order:
    return Order(
        order_id=order_id,
        buyer_id=buyer,
        status=status,
        lines=lines,
        currency="USD",
        path=path,
        version=1,
        created_at=NOW,
        claim_id=None,
    )


waiting_orders = st.fixed_dictionaries(
    {
        order_id: st.builds(
            order,
            st.just(order_id),
            st.sampled_from(BUYERS),
            lines_of_a_sale,
            st.just("orders"),
            st.sampled_from(["PENDING", "PENDING", "CONFIRMED", "CANCELED"]),
        )
        for order_id in WAITING
    }
)


@st.composite
def situations(draw: st.DrawFn) -> tuple[list[Intent], Facts]:
    facts = Facts(
        stock=draw(st.fixed_dictionaries({"p1": rows}, optional={"p2": rows, "p3": rows})),
        units=draw(st.dictionaries(st.tuples(st.sampled_from(PRODUCTS), st.sampled_from(BUYERS)), st.integers(0, 2))),
        sale_units=draw(st.dictionaries(st.tuples(st.just("over"), st.sampled_from(BUYERS)), st.integers(0, 2))),
        sale_limits=draw(st.dictionaries(st.just("over"), st.integers(0, 2))),
        claims=draw(st.dictionaries(st.sampled_from([f"c{n}" for n in range(8)]), st.just("void"), max_size=2)),
        keys=draw(
            st.dictionaries(
                st.sampled_from(SCOPES), st.builds(FirstReply, *map(st.just, (b"h1", 200, "{}", "o"))), max_size=1
            )
        ),
        waiting=draw(waiting_orders),
    )
    count = draw(st.integers(1, 8))
    return [draw(intents(facts, f"c{n}")) for n in range(count)], facts


@st.composite
def intents(draw: st.DrawFn, facts: Facts, claim_id: str) -> Intent:
    if draw(st.booleans()):
        waits = facts.waiting[draw(st.sampled_from(WAITING))]
        if draw(st.booleans()):
            return Intent(order=waits, waiting=True, refused=draw(st.sampled_from(["SOLD_OUT", "LIMIT_REACHED"])))
        wanted = order(waits.order_id, waits.buyer_id, waits.lines, "orders")
    else:
        wanted = order(f"o-{claim_id}", draw(st.sampled_from(BUYERS)), draw(lines)[:1], "sync")
    claimed = _claimed(wanted, claim_id)
    epochs = tuple(draw(st.integers(1, 2)) for _ in wanted.lines)
    sync = wanted.path == "sync"
    return Intent(order=claimed, epochs=epochs, key=draw(keys) if sync else None, waiting=not sync)


def _claimed(wanted: Order, claim_id: str) -> Order:
    return Order(**{name: getattr(wanted, name) for name in wanted.__struct_fields__} | {"claim_id": claim_id})


def held(outcomes: list[Outcome]) -> list[Held]:
    return [outcome for outcome in outcomes if isinstance(outcome, Held)]


@given(situations())
def test_no_more_is_taken_than_there_is_and_the_counters_say_what_was_taken(given: tuple[list[Intent], Facts]) -> None:
    wishes, facts = given
    before = deepcopy(facts)
    outcomes = decide(wishes, facts, NOW)
    for product, row in before.stock.items():
        taken = sum(line.qty for o in held(outcomes) for line in o.order.lines if line.product_id == product)
        assert facts.stock[product].available == row.available - taken >= 0
        for buyer in BUYERS:
            his = sum(
                line.qty
                for o in held(outcomes)
                for line in o.order.lines
                if (line.product_id, o.order.buyer_id) == (product, buyer)
            )
            counted = before.units.get((product, buyer), 0)
            assert facts.units.get((product, buyer), 0) == counted + his
            assert not (his and row.buyer_limit) or counted + his <= row.buyer_limit


@given(situations())
def test_in_a_sale_a_buyer_has_no_more_than_its_limit_and_lines_outside_of_it_do_not_count(
    given: tuple[list[Intent], Facts],
) -> None:
    wishes, facts = given
    before = deepcopy(facts)
    outcomes = decide(wishes, facts, NOW)
    limits = before.sale_limits | {"over": before.sale_limits.get("over", 0)}
    limit_of = {product: row.sale.buyer_limit for product, row in before.stock.items() if row.sale}
    for product in PRODUCTS:
        for buyer in BUYERS:
            taken: dict[str | None, int] = {}
            for o in held(outcomes):
                for line in o.order.lines:
                    if (line.product_id, o.order.buyer_id) == (product, buyer):
                        taken[line.sale_id] = taken.get(line.sale_id, 0) + line.qty
            if taken.get("sale") and limit_of.get(product):
                assert taken["sale"] <= limit_of[product]
            if taken.get("over") and limits["over"]:
                assert before.sale_units.get(("over", buyer), 0) + taken["over"] <= limits["over"]


@given(situations())
def test_only_claims_of_the_gate_s_epoch_that_no_one_ended_take_stock(given: tuple[list[Intent], Facts]) -> None:
    wishes, facts = given
    before = deepcopy(facts)
    for wish, outcome in zip(wishes, decide(wishes, facts, NOW), strict=True):
        if isinstance(outcome, Held):
            assert outcome.order.claim_id == wish.order.claim_id not in before.claims
            assert wish.epochs == tuple(before.stock[line.product_id].epoch for line in wish.order.lines)


@given(situations())
def test_what_is_refused_leaves_nothing_behind_for_the_others(given: tuple[list[Intent], Facts]) -> None:
    wishes, facts = given
    again = deepcopy(facts)
    outcomes = decide(wishes, facts, NOW)
    refused = (Denied, Repeated)
    others = [wish for wish, outcome in zip(wishes, outcomes, strict=True) if not isinstance(outcome, refused)]
    assert decide(others, again, NOW) == [outcome for outcome in outcomes if not isinstance(outcome, refused)]


@given(situations(), st.integers(0, 8))
def test_who_comes_later_changes_nothing_for_who_came_before(given: tuple[list[Intent], Facts], count: int) -> None:
    wishes, facts = given
    assert decide(wishes[:count], deepcopy(facts), NOW) == decide(wishes, facts, NOW)[:count]


@given(situations())
def test_a_batch_in_two_parts_ends_as_in_one(given: tuple[list[Intent], Facts]) -> None:
    wishes, facts = given
    apart = deepcopy(facts)
    half = len(wishes) // 2
    assert decide(wishes[:half], apart, NOW) + decide(wishes[half:], apart, NOW) == decide(wishes, facts, NOW)
    assert apart == facts


@given(situations())
def test_a_key_sells_once_and_an_order_is_decided_once(given: tuple[list[Intent], Facts]) -> None:
    wishes, facts = given
    outcomes = decide(wishes, facts, NOW)
    scopes = [outcome.key.scope for outcome in held(outcomes) if outcome.key]
    assert len(set(scopes)) == len(scopes)
    decided = [outcome.order.order_id for outcome in outcomes if isinstance(outcome, Held | Dropped)]
    assert len(set(decided)) == len(decided)
    for wish, outcome in zip(wishes, outcomes, strict=True):
        if isinstance(outcome, Repeated):
            assert wish.key
            assert outcome.stored.payload_hash == wish.key.payload_hash


@given(situations())
def test_a_batch_asked_again_takes_nothing_more_by_key_or_waiting_order(given: tuple[list[Intent], Facts]) -> None:
    wishes, facts = given
    first = decide(wishes, facts, NOW)
    for wish, before, after in zip(wishes, first, decide(wishes, facts, NOW), strict=True):
        if wish.waiting:
            assert not (isinstance(before, Held | Dropped) and isinstance(after, Held | Dropped))
        elif wish.key and isinstance(before, Held):
            assert isinstance(after, Repeated)
            assert after.stored.body == before.reply.decode()


@given(situations())
def test_a_new_order_has_the_price_of_its_moment_and_a_waiting_one_the_price_it_was_taken_down_at(
    given: tuple[list[Intent], Facts],
) -> None:
    wishes, facts = given
    before = deepcopy(facts)
    for wish, outcome in zip(wishes, decide(wishes, facts, NOW), strict=True):
        if not isinstance(outcome, Held):
            continue
        if wish.waiting:
            assert outcome.order.lines == before.waiting[wish.order.order_id].lines
            assert outcome.order.version == before.waiting[wish.order.order_id].version + 1
            continue
        (line,) = outcome.order.lines
        row = before.stock[line.product_id]
        assert line.price_minor == unit_price(row, NOW)
        assert row.sale is None or row.sale.starts_at <= NOW
