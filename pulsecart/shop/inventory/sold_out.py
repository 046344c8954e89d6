"""
Answers "sold out" from memory: a copy of the gate, at most 100 ms old, that includes the buyers who hold claims.

A separate thread refreshes the copy while requests use it: on the event loop the copy would be oldest exactly when
the loop is busiest, and every buyer would wait for it.
"""

import logging
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from pulsecart.runtime.redis_client import blocking, errors_translated
from pulsecart.runtime.redis_error import RedisError
from pulsecart.shop.inventory.gate import keys
from pulsecart.shop.inventory.gate.gate import COPY_MAX_AGE_S

log = logging.getLogger(__name__)
MAX_AGE_S = COPY_MAX_AGE_S
LOOK_EVERY_S = 0.03
FORGET_AFTER_S = 1.0  # since the last request for the product
BUYERS_MAX = 50_000


@dataclass(slots=True)
class Copy:
    """``buyers`` hold a claim; None when there are too many to copy: then no request is answered from memory."""

    asked_at: float
    taken_at: float = float("-inf")
    left: int = 1
    version: tuple[str, str] = ("", "")
    buyers: frozenset[str] | None = None


class SoldOut:
    """
    Args:
        clock: monotonic seconds.
    """

    def __init__(self, redis_url: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._redis_url = redis_url
        self._clock = clock
        self._copies: dict[str, Copy] = {}
        self._thread: threading.Thread | None = None
        self._starting = threading.Lock()

    def says_no(self, product_id: str, qty: int, buyer_id: str) -> bool:
        """
        Whether this buyer can be answered "sold out" without a call to the gate.

        Always False for a buyer with a claim, whose stored reply must be returned; for a product with units left,
        which is not copied; and for a copy older than MAX_AGE_S.
        """
        copy = self._copies.get(product_id)
        if copy is None:
            return False
        copy.asked_at = now = self._clock()
        if now - copy.taken_at > MAX_AGE_S:
            return False
        return copy.left < qty and copy.buyers is not None and buyer_id not in copy.buyers

    def remember(self, product_id: str) -> None:
        """Copy the product's gate, which has just answered "sold out", for the next requests."""
        with self._starting:
            self._copies.setdefault(product_id, Copy(self._clock()))
            if self._thread is None:
                self._thread = threading.Thread(target=self._keep_fresh, name="sold-out", daemon=True)
                self._thread.start()

    def _keep_fresh(self) -> None:
        with blocking.Redis.from_url(self._redis_url, socket_timeout=1.0, decode_responses=True) as client:
            while self._anything_left():
                for product_id in list(self._copies):
                    try:
                        with errors_translated():
                            self._refresh(client, product_id)
                    except RedisError:
                        self._copies.pop(product_id, None)
                    except Exception:  # fails this product only: the thread continues with the others
                        log.exception("the sold-out state of product %s could not be read into memory", product_id)
                        self._copies.pop(product_id, None)
                time.sleep(LOOK_EVERY_S)

    def _anything_left(self) -> bool:
        with self._starting:
            if not self._copies:
                self._thread = None
            return self._thread is not None

    def _refresh(self, client: blocking.Redis, product_id: str) -> None:
        copy, now = self._copies[product_id], self._clock()
        fields: Any = client.hmget(keys.level(product_id), ["epoch", "left", "version"])
        epoch, left, version = fields
        if epoch is None or int(left) > 0 or now - copy.asked_at > FORGET_AFTER_S:
            del self._copies[product_id]
            return
        if copy.version != (epoch, version):
            copy.buyers = self._buyers(client, product_id)
        copy.left, copy.version, copy.taken_at = int(left), (epoch, version), now

    def _buyers(self, client: blocking.Redis, product_id: str) -> frozenset[str] | None:
        key = keys.buyers(product_id)
        if int(client.hlen(key)) > BUYERS_MAX:
            return None
        names: Any = client.hkeys(key)
        return frozenset(names)
