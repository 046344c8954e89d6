"""Opens a live stream: checks that the caller may read it, and reads the first data for the client."""

from dataclasses import dataclass, replace

from pulsecart.edge.session import spend_ticket
from pulsecart.edge.streams.hub import Hub, Listener
from pulsecart.edge.streams.missed import History
from pulsecart.edge.streams.news import START, Id, News, id_of
from pulsecart.edge.streams.snapshot import Snapshots
from pulsecart.edge.streams.topics import Topic
from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import Forbidden, Unauthorized
from pulsecart.serving.access import Caller
from pulsecart.serving.auth import customer_of
from pulsecart.serving.http import Request
from pulsecart.serving.query import parameters


@dataclass(frozen=True)
class Opening:
    """
    The first data of a stream.

    Args:
        lost: why news are missing between the client's last id and ``news``; None if none are.
        news: the news to send first.
        seen: the id up to which the client then has everything.
        until_s: when the session or token that opened the stream expires, in seconds since 1970.
    """

    lost: str | None
    news: tuple[News, ...]
    seen: Id
    until_s: float = float("inf")


def asked(request: Request, name: str) -> str | None:
    """Return a query parameter."""
    return parameters(request.query).get(name)


def last_id_in(request: Request) -> str | None:
    """Return the client's last id; the header of a reconnecting browser is newer than the page's original query."""
    return request.headers.get("last-event-id") or asked(request, "last_event_id")


async def asking_buyer(request: Request, deps: Deps) -> Caller | None:
    """
    Identify the caller by a ticket, a Bearer token or the session cookie; None if unknown.

    Raises:
        Unauthorized: the token or cookie is invalid or has expired. There is no leeway as for other requests: a stream
            ends at the second of expiry, so that the client would only reopen it again and again.
        RedisError: tickets cannot be read.
    """
    ticket = asked(request, "ticket")
    buyer = await customer_of(request, deps) if ticket is None else await spend_ticket(ticket, deps)
    if buyer is not None and left_s(buyer.expires_s, deps) <= 0:
        raise over()
    return buyer


def left_s(until_s: float, deps: Deps) -> float:
    """Return the seconds until a stream must end; 0 if its session or token has expired."""
    return max(0.0, until_s - deps.clock.now().timestamp())


def over() -> Unauthorized:
    """Return the error for a stream whose session or token has expired."""
    return Unauthorized(
        "bad-token", "The session or token of this stream has expired. Sign in again, or send a new token."
    )


async def opening(listener: Listener, last: str | None, deps: Deps, buyer: Caller | None = None) -> Opening:
    """
    Join the hub, then read the first data, so that no news are lost in between; on any error, leave the hub.

    Args:
        last: the last id that the client sent, None if it sent none.
        buyer: the caller; only its buyer may read an order's stream.

    Raises:
        Unauthorized: the stream is an order's, and the caller is unknown.
        NotFound: there is no such product or order.
        Forbidden: the order is another buyer's.
        Unavailable: PostgreSQL cannot be reached.
    """
    hub = deps.singleton(Hub)
    topic = listener.topic
    if topic.kind.owned and buyer is None:
        raise Unauthorized("no-session", "An order's stream needs its buyer's session, or a new ticket.")
    try:
        await hub.join(listener)
        own = await _own(topic, buyer, deps) if topic.kind.owned else None
        caught_up = await _caught_up(topic, last, own, deps)
        return replace(caught_up, until_s=buyer.expires_s) if buyer else caught_up
    except BaseException:
        hub.leave(listener)
        raise


async def _own(topic: Topic, buyer: Caller | None, deps: Deps) -> News:
    snapshot = await _snapshot(topic, deps)
    if buyer is None or snapshot.buyer_id != buyer.subject:
        raise Forbidden("not-your-order", "This order belongs to another buyer.")
    return snapshot


async def _snapshot(topic: Topic, deps: Deps) -> News:
    snapshot = await deps.singleton(Snapshots).of(topic)
    if snapshot is None:
        raise topic.kind.unknown()
    return snapshot


async def _caught_up(topic: Topic, last: str | None, snapshot: News | None, deps: Deps) -> Opening:
    last_id = id_of(last) if last is not None else None
    wants_history = last_id is not None or (last is None and topic.kind.from_start)
    missed = await deps.singleton(History).after(topic, last_id or START) if wants_history else None
    if last_id is not None and missed is not None and missed.lost is None:
        return Opening(None, tuple(missed.news), missed.news[-1].id if missed.news else last_id)
    snapshot = snapshot or await _snapshot(topic, deps)
    if snapshot.id == last_id:  # the client is up to date, although Redis is behind or empty
        return Opening(None, (), last_id)
    if last is not None:
        return Opening((missed and missed.lost) or "unknown-id", (snapshot,), snapshot.id)
    earlier = missed.news if missed else ()
    return Opening(None, (*(news for news in earlier if news.id <= snapshot.id), snapshot), snapshot.id)
