"""tools/webhooks: short names of event types stand for the newest version."""

import pytest

from pulsecart.runtime.contracts import event_types
from pulsecart.shop.webhooks.patterns import check_patterns, sent_types
from tools.webhooks.event_names import full_pattern, full_type

KNOWN = {
    "ecommerce.order.order.paid.v1",
    "ecommerce.order.order.paid.v2",
    "ecommerce.order.order.paid.v10",
    "ecommerce.cart.item.added.v1",
    "ecommerce.wish.item.added.v1",
}


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("order.paid", "ecommerce.order.order.paid.v10"),
        ("order.order.paid", "ecommerce.order.order.paid.v10"),
        ("order.order.paid.v2", "ecommerce.order.order.paid.v2"),
        ("ecommerce.order.order.paid.v1", "ecommerce.order.order.paid.v1"),
        ("cart.item.added", "ecommerce.cart.item.added.v1"),
        ("item.added", "item.added"),  # of two contexts
        ("order.sold", "order.sold"),
    ],
)
def test_a_type(text: str, whole: str) -> None:
    assert full_type(text, KNOWN) == whole


@pytest.mark.parametrize(
    ("text", "whole"),
    [
        ("*", "ecommerce.*"),
        ("order.*", "ecommerce.order.*"),
        ("ecommerce.order.*", "ecommerce.order.*"),
        ("order.paid", "ecommerce.order.order.paid.v10"),
    ],
)
def test_a_pattern(text: str, whole: str) -> None:
    assert full_pattern(text, KNOWN) == whole


def test_the_shop_knows_what_the_help_and_the_documents_name() -> None:
    known = sent_types(event_types())
    check_patterns([full_pattern(text, known) for text in ("*", "order.*", "order.paid", "stock.adjusted")], known)
