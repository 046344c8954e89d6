"""A payment gateway, simulated: it takes money once per key, and can be told to decline, time out or fail."""

import hashlib
from dataclasses import dataclass
from typing import Literal

from shop.db import gateway as books
from shop.db.pool import Database, Tx
from shop.problem import Unavailable, Unprocessable

Mode = Literal["approve", "decline", "timeout", "fail"]
ChargeStatus = Literal["CHARGED", "DECLINED", "REFUNDED", "VOIDED"]


class GatewayTimeout(Unavailable):
    """No answer in time: it may have happened or not. The same key asks again."""


class GatewayDown(Unavailable):
    """It answered 5xx: nothing happened."""


@dataclass(frozen=True, slots=True)
class Charge:
    """
    Args:
        status: CHARGED, DECLINED, REFUNDED (charged, and returned), VOIDED (never charged, and never will be).
        reference: the gateway's own id of it.
    """

    key: str
    status: str
    reference: str
    amount_minor: int
    currency: str


class SimulatedGateway:
    """
    Idempotent by key: the same key gets the first answer, as long as its money stays where it is.

    Args:
        db: where it keeps its books, in short transactions of its own.
    """

    def __init__(self, db: Database) -> None:
        self._db = db

    async def charge(self, key: str, amount_minor: int, currency: str) -> Charge:
        """
        Raises:
            GatewayTimeout: charged or not, the same key will tell.
            GatewayDown: not charged.
            Unprocessable: the key was used for another amount.
        """
        async with self._db.transaction() as tx:
            mode = await self._mode_towards(tx, key)
            _fail_in(mode)
            if mode == "timeout" and not _reached(key):
                raise _timeout()
            row = await books.first_answer(
                tx,
                key,
                status="DECLINED" if mode == "decline" else "CHARGED",
                reference=_reference(key),
                amount_minor=amount_minor,
                currency=currency,
            )
        if mode == "timeout":
            raise _timeout()
        charge = Charge(*row)
        if charge.status != "VOIDED" and (charge.amount_minor, charge.currency) != (amount_minor, currency):
            raise Unprocessable("gateway-key-reused", f"Key {key} stands for another amount.")
        return charge

    async def refund(self, key: str) -> Charge:
        """
        Give the money of a charge back; what was not charged stays as it is.

        Raises:
            GatewayTimeout: given back or not, asking again will tell.
            GatewayDown: not given back.
            Unprocessable: the gateway knows no such key.
        """
        return await self._give_back(key, void=False)

    async def void(self, key: str) -> Charge:
        """
        Whatever became of ``key``: no money stays with us, and a charge that comes later is answered VOIDED.

        Raises:
            GatewayTimeout, GatewayDown: as in ``refund``.
        """
        return await self._give_back(key, void=True)

    async def behaviour(self) -> tuple[str, float]:
        """Mode, and the share of the keys that it meets."""
        async with self._db.transaction() as tx:
            return await books.behaviour(tx)

    async def behave(self, mode: Mode, share: float = 1.0) -> None:
        """
        Args:
            share: of the keys, 0 to 1, that meet ``mode``, always the same ones; the others are approved.
        """
        async with self._db.transaction() as tx:
            await books.behave(tx, mode, share)

    async def _give_back(self, key: str, *, void: bool) -> Charge:
        async with self._db.transaction() as tx:
            mode = await self._mode_towards(tx, key)
            _fail_in(mode)
            if mode == "timeout" and not _reached(key):
                raise _timeout()
            if void:
                row: books.ChargeRow | None = await books.first_answer(
                    tx, key, status="VOIDED", reference=_reference(key), amount_minor=0, currency="XXX"
                )
            else:
                row = await books.find(tx, key)
            if row is None:
                raise Unprocessable("gateway-key-unknown", f"The gateway knows no charge {key}.")
            if row[1] == "CHARGED":
                await books.give_back(tx, key)
                row = (row[0], "REFUNDED", *row[2:])
        if mode == "timeout":
            raise _timeout()
        return Charge(*row)

    async def _mode_towards(self, tx: Tx, key: str) -> str:
        mode, share = await books.behaviour(tx)
        return mode if _place(key) < share else "approve"


def _fail_in(mode: str) -> None:
    if mode == "fail":
        raise GatewayDown("gateway-down", "The payment gateway answers with errors; try again shortly.")


def _timeout() -> GatewayTimeout:
    return GatewayTimeout("gateway-timeout", "The payment gateway did not answer in time; ask again with the same key.")


def _reference(key: str) -> str:
    return f"sim_{hashlib.sha256(key.encode()).hexdigest()[:24]}"


def _place(key: str) -> float:
    """Where a key falls between 0 and 1, always the same."""
    return int.from_bytes(hashlib.sha256(key.encode()).digest()[:6], "big") / 2**48


def _reached(key: str) -> bool:
    """Whether a request that times out was carried out all the same: for every other key."""
    return hashlib.sha256(key.encode()).digest()[6] % 2 == 0
