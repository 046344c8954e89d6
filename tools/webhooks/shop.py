"""Sends a partner's requests to a shop over HTTP, and names the reason where one fails."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any
from urllib.parse import quote

from aiohttp import ClientError, ClientSession, ClientTimeout, InvalidURL

from pulsecart.runtime.http_client import new_session

SUBSCRIPTIONS = "/api/v1/webhook-subscriptions"
MESSAGES = "/api/v1/webhook-messages"
ANSWER_WITHIN_S = 30.0
PAGE = 100
Document = dict[str, Any]


class Failed(Exception):
    """A request was not done; the message is a sentence for the user."""


class Refused(Failed):
    """The shop answered with a problem."""

    def __init__(self, status: int, kind: str, detail: str) -> None:
        super().__init__(detail)
        self.status = status
        self.kind = kind


class Unreachable(Failed):
    """No shop answered, or not as a shop does."""


class Shop:
    """
    Sends requests with a partner's token.

    Args:
        url: the shop's, without a trailing slash.
        token: returns the token of the next request.
    """

    def __init__(self, url: str, token: Callable[[], str], session: ClientSession) -> None:
        self.url = url
        self.session = session
        self._token = token

    async def get(self, path: str) -> Document:
        """Return a resource."""
        return await self.ask("GET", path)

    async def post(self, path: str, body: Any = None) -> Document:
        """Return the answer to a request that changes something."""
        return await self.ask("POST", path, body)

    async def delete(self, path: str) -> None:
        """Delete a resource, whatever its version."""
        await self.raw("DELETE", path, headers={"if-match": "*"})

    async def ask(self, method: str, path: str, body: Any = None) -> Document:
        """
        Send a request and decode its answer.

        Raises:
            Refused: the shop answered with a problem.
            Unreachable: no shop answered.
        """
        try:
            document: Document = json.loads(await self.raw(method, path, body))
        except ValueError:
            raise Unreachable(f"{self.url} does not answer as a shop does; check --url.") from None
        return document

    async def raw(self, method: str, path: str, body: Any = None, headers: dict[str, str] | None = None) -> bytes:
        """Send a request and return the bytes of its answer; raises as ``ask``."""
        sent = {"authorization": f"Bearer {self._token()}", **(headers or {})}
        timeout = ClientTimeout(total=ANSWER_WITHIN_S)
        try:
            async with self.session.request(
                method, self.url + path, json=body, headers=sent, timeout=timeout, allow_redirects=False
            ) as answer:
                said = await answer.read()
                if 200 <= answer.status < 300:
                    return said
        except (ClientError, TimeoutError, InvalidURL, ValueError) as error:
            reason = str(error) or type(error).__name__
            advice = "start one with ./scripts/up, or give --url."
            raise Unreachable(f"no shop answers at {self.url} ({reason}); {advice}") from None
        raise _refusal(answer.status, said, self.url)

    async def pages(self, path: str, member: str, limit: int | None = None, most: int = PAGE) -> list[Document]:
        """
        Return the things of a list, over all of its pages.

        Args:
            path: with or without a query.
            member: of each page, which has the things.
            limit: maximum number; None: all.
            most: of one page.
        """
        found: list[Document] = []
        cursor = ""
        mark = "&" if "?" in path else "?"
        while limit is None or len(found) < limit:
            size = most if limit is None else min(most, limit - len(found))
            page = await self.get(f"{path}{mark}limit={size}{cursor}")
            found += page[member]
            if "next" not in page:
                break
            cursor = f"&cursor={quote(page['next'])}"
        return found

    async def subscriptions(self) -> list[Document]:
        """Return the caller's subscriptions, newest first."""
        return await self.pages(SUBSCRIPTIONS, "subscriptions")

    async def backlogs(self, subscriptions: list[Document]) -> list[Document]:
        """Return the backlog of each of these subscriptions."""
        paths = [subscription_path(one["subscriptionId"], "backlog") for one in subscriptions]
        return list(await asyncio.gather(*map(self.get, paths)))


def subscription_path(id: str, part: str = "") -> str:
    """Return the path of a subscription, or of a part of it."""
    return f"{SUBSCRIPTIONS}/{quote(id, safe='')}{part and '/'}{part}"


def message_path(id: str, part: str = "") -> str:
    """Return the path of a message, or of a part of it."""
    return f"{MESSAGES}/{quote(id, safe='')}{part and '/'}{part}"


@asynccontextmanager
async def opened(url: str, token: Callable[[], str]) -> AsyncIterator[Shop]:
    """Open the connections to a shop, and close them at the end."""
    async with new_session() as session:
        yield Shop(url.rstrip("/"), token, session)


def _refusal(status: int, said: bytes, url: str) -> Failed:
    try:
        problem = json.loads(said)
        return Refused(status, str(problem["type"]).rpartition("/")[2], str(problem["detail"]))
    except (ValueError, KeyError, TypeError):
        return Unreachable(f"{url} answers {status}, not as a shop does; check --url.")
