"""Accepts messages that Google Pub/Sub pushes: POST /pubsub/push, with Google's token → partner.*.reported."""

from functions.pubsub_push.google_tokens import PATH, GoogleTokens
from pulsecart.bridges.pubsub.messages import pushed
from pulsecart.broker.pubsub_ingress import PubSubIngress
from pulsecart.runtime.deps import Deps
from pulsecart.serving.access import PUBLIC
from pulsecart.serving.http import Reply, Request
from pulsecart.serving.operation import operation
from pulsecart.serving.routes import post
from pulsecart.shop.partners.events import FulfilmentReported, StockReported

BODY_MAX = 1024 * 1024  # of a request, before its token is verified


async def push(request: Request, deps: Deps) -> Reply:
    """
    Write the message's event to the log; reply 204, which acknowledges the message, when it is durable.

    A message that is rejected becomes a dead letter here. The reply is then its problem, so that Pub/Sub repeats the
    message and moves it to the subscription's dead-letter topic; without one it would be repeated for days, and is
    acknowledged instead.

    Raises:
        Unauthorized, Forbidden: the token is not the one of our subscriptions.
        Malformed: the body is not a message of Pub/Sub.
        Problem: the message is rejected.
        Unavailable: Google's keys or PostgreSQL cannot be reached.
    """
    await deps.singleton(GoogleTokens).check(request)
    message = pushed(request.body)
    rejected = await deps.singleton(ingress).take(message)
    if rejected is not None and message.attempt:
        raise rejected
    return Reply(204)


def ingress(deps: Deps) -> PubSubIngress:
    """Create the process's ingress, for ``deps.singleton``."""
    return PubSubIngress(deps, "pubsub-push", deps.settings.pubsub_push)


pubsub_push = operation(
    "pubsub_push",
    routes=[post(PATH, push, allow=PUBLIC, max_body_bytes=BODY_MAX)],
    emits=[FulfilmentReported, StockReported],
)
