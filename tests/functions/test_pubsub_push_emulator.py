"""Checks pubsub_push with what Google's emulator pushes; the test adds what that lacks: tokens and deliveryAttempt."""

import asyncio
import json
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

from pulsecart.runtime.deps import Deps, close_deps, open_deps
from tests.client import Client, until
from tests.functions.partner_shop import PartnerShop, stock
from tests.functions.test_pubsub_push import ACCOUNT, Google
from tests.pubsub import ATTEMPTS, PubSub


@contextmanager
def endpoint(client: Client, google: Google, loop: asyncio.AbstractEventLoop) -> Iterator[str]:
    """Provide the URL of a server that completes each request, and lets the shop answer it."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            pushed = json.loads(self.rfile.read(int(self.headers["content-length"])))
            body = {"deliveryAttempt": 1, **pushed}
            token = f"Bearer {google.token(client.deps.clock.now())}"
            asking = client.ask("POST", "/pubsub/push", body, authorization=token)
            answered = asyncio.run_coroutine_threadsafe(asking, loop).result(20)
            self.send_response(answered.status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *given: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_address[1]}/"
        server.shutdown()
        thread.join()


async def test_what_pub_sub_moves_to_its_dead_letter_topic_has_its_reason_here_and_the_rest_is_in_the_log(
    deps: Deps, pubsub: PubSub, tmp_path: Path
) -> None:
    google = Google(tmp_path)
    pushing = {"pubsub_push": "pushed=acme", "pubsub_push_accounts": ACCOUNT}
    opened = open_deps(pubsub.settings(deps.settings, **pushing, pubsub_push_jwks_url=google.jwks.as_uri()))
    client = Client(opened)
    shop = await PartnerShop(client).own()
    topic, dead = pubsub.topic("reports"), pubsub.topic("dead-topic")
    dead_letters = pubsub.subscribe(dead, "dead-letters")
    good, bad = [stock() for _ in range(20)], stock("2")
    try:
        with endpoint(client, google, asyncio.get_running_loop()) as url:
            pubsub.subscribe(
                topic,
                "pushed",
                push_config={"push_endpoint": url},
                dead_letter_policy={"dead_letter_topic": dead, "max_delivery_attempts": ATTEMPTS},
                enable_message_ordering=False,  # the emulator moves no message of an ordered subscription
            )
            for event in (bad, *good):
                raw, structured = json.dumps(event).encode(), {"content-type": "application/cloudevents+json"}
                await asyncio.to_thread(pubsub.publish, topic, raw, **structured)
            (moved,) = await asyncio.to_thread(pubsub.receive, dead_letters, 1)

            async def all_logged() -> bool:
                return len(await shop.reports()) == len(good)

            await until(all_logged)
        assert {one.id for one in await shop.reports()} == {event["id"] for event in good}
        ((trigger, event_id, cause),) = await client.rows("SELECT trigger, event_id, error_data FROM dead_letters")
    finally:
        await close_deps(opened)
    assert (trigger, event_id) == ("pubsub-push", json.loads(moved.data)["id"])
    assert json.loads(cause)["type"].endswith("not-yours")
