"""Turns the reasons for a refused purchase into problems, each with the buyer's next step."""

from pulsecart.runtime.first_replies import key_reused, request_in_flight
from pulsecart.runtime.problem import NotFound, Problem, Refused, Unavailable, Unprocessable
from pulsecart.shop.money import wire_id
from pulsecart.shop.orders.decide import Denied


def refusal(reason: str, product_id: str = "") -> Problem:
    """Return the problem for a reason of ``pulsecart.shop.orders.decide.Denied`` or a verdict of the gate."""
    match reason:
        case "SOLD_OUT":
            return sold_out()
        case "LIMIT" | "LIMIT_REACHED" | "SALE_LIMIT_REACHED":
            return Refused(
                "limit-reached", "You have the maximum number of units that one buyer may have of this product."
            )
        case "SALE_NOT_OPEN":
            return Refused(
                "sale-not-open",
                "The sale of this product has not started. Wait until startsAt of the product's nextSale.",
            )
        case "UNKNOWN_PRODUCT":
            return NotFound("unknown-product", f"There is no product {product_id} with stock. See /api/v1/sales.")
        case "KEY_REUSED":
            return key_reused()
        case "MIXED_CURRENCIES":
            return Unprocessable("mixed-currencies", "An order has one currency. Order these products separately.")
        case "SEEN":
            return request_in_flight()
        case _:
            return Unavailable("busy", "The order could not be placed. Try again in a second.")


def public_reason(reason: str) -> str:
    """Return the reason as metrics and replies name it; all limits share one name."""
    return "LIMIT_REACHED" if reason in ("LIMIT", "SALE_LIMIT_REACHED") else reason


def sold_out() -> Refused:
    return Refused(
        "sold-out", "All units of this product are sold. Try again later: a returned unit goes to the next request."
    )


def denial(denied: Denied) -> Problem:
    """Return the problem for an order denied by PostgreSQL; for a changed price, with the current price."""
    if denied.price is None:
        return refusal(denied.reason, denied.product_id)
    price, currency = denied.price
    return Refused(
        "price-changed",
        "The price has changed and nothing was bought. To accept the new price, send it as expectedPrice.",
        productId=wire_id(denied.product_id),
        price=price,
        currency=currency,
    )
