"""Records failed external calls made for orders: on the order's passport and in the log."""

import logging
from asyncio import CancelledError
from collections.abc import Sequence
from typing import NamedTuple

from pulsecart.runtime.db.database import Database
from pulsecart.runtime.printable import printable
from pulsecart.runtime.problem import Problem, Unavailable
from pulsecart.shop.payments.db import calls
from pulsecart.shop.payments.db.calls import Ended
from pulsecart.shop.payments.simulated_gateway import GatewayTimeout

log = logging.getLogger(__name__)


class Failed(NamedTuple):
    """``call`` is charge, refund or void; ``call_id`` identifies the attempt."""

    order_id: str
    call_id: str
    call: str
    error: BaseException


async def failed(db: Database, failures: Sequence[Failed]) -> None:
    """
    Record failed attempts on their orders' passports. Only an order's first failure is logged as a warning.

    Never raises: the caller still has to report the original failure.
    """
    if not failures:
        return
    known: set[str] = set()
    try:
        async with db.transaction() as tx:
            known = await calls.failed_before(tx, [one.order_id for one in failures])
            calls.end(tx, [_ended(one) for one in failures])
    except Exception as error:
        log.warning(
            "the failure of %d calls could not be recorded for their orders' passports: %s", len(failures), error
        )
    for one in failures:
        level = logging.INFO if one.order_id in known else logging.WARNING
        known.add(one.order_id)
        _log(level, one)


def result_of(error: BaseException) -> str:
    """Return TIMEOUT, UNAVAILABLE (the external system fails for now), REFUSED (permanent), or ERROR."""
    if isinstance(error, GatewayTimeout | TimeoutError | CancelledError):  # the caller's deadline had passed
        return "TIMEOUT"
    if isinstance(error, Unavailable):
        return "UNAVAILABLE"
    return "REFUSED" if isinstance(error, Problem) else "ERROR"


def reason_of(error: BaseException) -> str:
    """Return the text to record: a problem's detail, or the error's type and text."""
    if isinstance(error, CancelledError):
        return "The time limit of this delivery ended before the answer."
    return error.detail if isinstance(error, Problem) else f"{type(error).__name__}: {error}"


def _ended(one: Failed) -> Ended:
    return Ended(one.order_id, one.call_id, result_of(one.error), reason_of(one.error))


def _log(level: int, one: Failed) -> None:
    result = result_of(one.error)
    extra = {"orderId": one.order_id, "call": one.call, "result": result}
    fields = (one.order_id, one.call, result, printable(reason_of(one.error)))
    log.log(level, "order %s: the payment gateway's %s failed (%s): %s", *fields, extra=extra)
