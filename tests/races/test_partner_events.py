"""A partner whose request was committed and not answered repeats it, and it is absorbed."""

from typing import Literal

import pytest

from tests.client import Client
from tests.functions.partner_shop import PartnerShop, stock
from tests.races.proxy import Proxy

Cut = tuple[Client, Proxy]


@pytest.mark.parametrize("batch", [False, True])
@pytest.mark.parametrize(("when", "answered"), [("before", b""), ("after", b"COMMIT\0")])
async def test_a_request_that_was_committed_or_not_and_got_no_answer_is_repeated_safely(
    cut_database: Cut, client: Client, when: Literal["before", "after"], answered: bytes, batch: bool
) -> None:
    shop = await PartnerShop(client).own()
    worker, proxy = cut_database
    behind = PartnerShop(worker)
    assert (await behind.send(stock())).status == 202
    sent = [stock(), stock()] if batch else stock()
    proxy.cut(b"COMMIT", when, answered)
    assert ((await behind.send(sent)).status, proxy.cuts) == (503, 1)
    committed = when == "after"
    assert len(await shop.reports()) == 1 + (len(sent) if batch else 1) * committed
    again = await shop.send(sent)
    expected = 2 if batch else 1
    assert (again.status, again.body) == (202, {"accepted": expected, "duplicates": expected * committed})
    assert len(await shop.reports()) == 1 + expected
