"""What became of calls to the outside that are made for orders: counted, on the order's passport, and logged."""

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
    """``call`` is charge, refund or void; ``call_id`` names the try that was begun."""

    order_id: str
    call_id: str
    call: str
    error: BaseException


async def failed(db: Database, failures: Sequence[Failed]) -> None:
    """
    Put failed tries on their orders' passports. An order's first one is a warning in the log, and only that one.

    Never raises: it is called beside the failure itself, which its caller has to report.
    """
    if not failures:
        return
    known: set[str] = set()
    try:
        async with db.transaction() as tx:
            known = await calls.failed_before(tx, [one.order_id for one in failures])
            calls.end(tx, [_ended(one) for one in failures])
    except Exception as error:
        log.warning("the failure of %d calls is not on their orders' passports: %s", len(failures), error)
    for one in failures:
        level = logging.INFO if one.order_id in known else logging.WARNING
        known.add(one.order_id)
        _log(level, one)


def result_of(error: BaseException) -> str:
    """TIMEOUT, UNAVAILABLE (the other side says: not now), REFUSED (never), or ERROR."""
    if isinstance(error, GatewayTimeout | TimeoutError | CancelledError):  # its caller's time was over
        return "TIMEOUT"
    if isinstance(error, Unavailable):
        return "UNAVAILABLE"
    return "REFUSED" if isinstance(error, Problem) else "ERROR"


def reason_of(error: BaseException) -> str:
    """What is written down: a problem's own sentence, or the error's kind and text."""
    if isinstance(error, CancelledError):
        return "The time for this delivery was over before the answer came."
    return error.detail if isinstance(error, Problem) else f"{type(error).__name__}: {error}"


def _ended(one: Failed) -> Ended:
    return Ended(one.order_id, one.call_id, result_of(one.error), reason_of(one.error))


def _log(level: int, one: Failed) -> None:
    result = result_of(one.error)
    extra = {"orderId": one.order_id, "call": one.call, "result": result}
    told = (one.order_id, one.call, result, printable(reason_of(one.error)))
    log.log(level, "order %s: the payment gateway's %s failed (%s): %s", *told, extra=extra)
