"""Simulates a payment gateway: it charges once per key and can be set to decline, time out or fail."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from pulsecart.runtime.db.database import Database
from pulsecart.runtime.problem import Unavailable, Unprocessable
from pulsecart.shop.payments.db import simulated_books as books

Mode = Literal["approve", "decline", "timeout", "fail"]


class GatewayTimeout(Unavailable):
    """The gateway did not answer in time; the request may have been executed. Retry with the same key."""


class GatewayDown(Unavailable):
    """The gateway answered 5xx; nothing was executed."""


@dataclass(frozen=True, slots=True)
class Charge:
    """
    Args:
        status: CHARGED, DECLINED, REFUNDED (charged, then returned), VOIDED (not charged, and never will be).
        reference: the gateway's own id of the charge.
    """

    key: str
    status: str
    reference: str
    amount_minor: int
    currency: str


@dataclass(frozen=True, slots=True)
class Ask:
    """A request to charge an amount, once per key."""

    key: str
    amount_minor: int
    currency: str


class SimulatedGateway:
    """
    Charges, refunds and voids idempotently: the same key gets the first answer until its charge is refunded.

    Args:
        db: stores the charges, in short transactions of the gateway's own.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def charge(self, key: str, amount_minor: int, currency: str) -> Charge:
        """
        Raises:
            GatewayTimeout: charged or not; a retry with the same key returns the result.
            GatewayDown: not charged.
            Unprocessable: the key was used for another amount.
        """
        (answer,) = await self.charge_all([Ask(key, amount_minor, currency)])
        if isinstance(answer, Exception):
            raise answer
        return answer

    async def charge_all(self, requests: Sequence[Ask]) -> list[Charge | Exception]:
        """Charge many keys in one request; each gets its own answer, an error where ``charge`` would raise it."""
        async with self._db.transaction() as tx:
            mode, share = await books.behaviour(tx)
            towards = {request.key: mode if _place(request.key) < share else "approve" for request in requests}
            carried_out = [request for request in requests if _arrives(request.key, towards[request.key])]
            wanted = [
                _wanted(request, "DECLINED" if towards[request.key] == "decline" else "CHARGED")
                for request in carried_out
            ]
            rows = await books.first_answers(tx, wanted) if wanted else {}
        return [_answer(request, towards[request.key], rows.get(request.key)) for request in requests]

    async def refund(self, key: str) -> Charge:
        """
        Refund a charge; a key that was not charged stays unchanged.

        Raises:
            GatewayTimeout: refunded or not; a retry returns the result.
            GatewayDown: not refunded.
            Unprocessable: the gateway has no such key.
        """
        return await self._give_back(key, void=False)

    async def void(self, key: str) -> Charge:
        """
        Refund ``key`` if it was charged; otherwise mark it VOIDED, so that a later charge is answered VOIDED.

        Raises:
            GatewayTimeout, GatewayDown: as in ``refund``.
        """
        return await self._give_back(key, void=True)

    async def behaviour(self) -> tuple[str, float]:
        """Return the mode, and the share of keys that it applies to."""
        async with self._db.transaction() as tx:
            return await books.behaviour(tx)

    async def behave(self, mode: Mode, share: float = 1.0) -> None:
        """
        Args:
            share: of the keys, 0 to 1, to which ``mode`` applies, always the same keys; the others are approved.
        """
        async with self._db.transaction() as tx:
            await books.behave(tx, mode, share)

    async def _give_back(self, key: str, *, void: bool) -> Charge:
        async with self._db.transaction() as tx:
            mode, share = await books.behaviour(tx)
            mode = mode if _place(key) < share else "approve"
            if not _arrives(key, mode):
                raise _lost(mode)
            nothing = _wanted(Ask(key, 0, "XXX"), "VOIDED")
            rows = await books.first_answers(tx, [nothing]) if void else await books.find(tx, [key])
            if key not in rows:
                raise Unprocessable("gateway-key-unknown", f"The gateway has no charge {key}.")
            charge = Charge(*rows[key])
            if charge.status == "CHARGED":
                await books.give_back(tx, key)
                charge = replace(charge, status="REFUNDED")
        if mode == "timeout":
            raise _lost(mode)
        return charge


def _wanted(request: Ask, status: str) -> books.ChargeRow:
    reference = f"sim_{hashlib.sha256(request.key.encode()).hexdigest()[:24]}"
    return request.key, status, reference, request.amount_minor, request.currency


def _answer(request: Ask, mode: str, row: books.ChargeRow | None) -> Charge | Exception:
    if row is None or mode == "timeout":
        return _lost(mode)
    charge = Charge(*row)
    if charge.status != "VOIDED" and (charge.amount_minor, charge.currency) != (request.amount_minor, request.currency):
        return Unprocessable("gateway-key-reused", f"Key {request.key} belongs to another amount.")
    return charge


def _lost(mode: str) -> Unavailable:
    if mode == "fail":
        return GatewayDown("gateway-down", "The payment gateway answers with errors. Try again shortly.")
    return GatewayTimeout(
        "gateway-timeout", "The payment gateway did not answer in time. Repeat the request with the same key."
    )


def _arrives(key: str, mode: str) -> bool:
    """Whether a request is executed; in mode timeout, half of the keys are."""
    return mode != "fail" and (mode != "timeout" or hashlib.sha256(key.encode()).digest()[6] % 2 == 0)


def _place(key: str) -> float:
    """Map a key to a fixed number between 0 and 1."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48
