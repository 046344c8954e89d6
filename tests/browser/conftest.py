"""A shop as ./scripts/up starts it, and a real Chromium that visits it."""

import json
import shutil
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pytest
from playwright.sync_api import Browser, Page, ViewportSize, expect, sync_playwright

from tests.client import connect
from tests.local.running_shop import RunningShop
from tests.tokens import bearer

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
PATIENCE_MS = 20_000
TABS_MAX = 60
COUNT_STREAMS = """
    window.streams = [];
    window.EventSource = class extends EventSource {
      constructor(...all) { super(...all); window.streams.push(this); }
    };
"""
DESK = {"width": 1100, "height": 900}
PHONE: ViewportSize = {"width": 360, "height": 740}


@dataclass
class Visit:
    """Holds one visitor's page; ``requested`` are the URLs it requested, ``errors`` its reported errors."""

    page: Page
    requested: list[str]
    errors: list[str]

    @property
    def left(self) -> int:
        return int(self.page.inner_text("#left").replace(",", ""))

    @property
    def open_streams(self) -> int:
        return int(self.page.evaluate("streams.filter(one => one.readyState !== EventSource.CLOSED).length"))

    def steps(self) -> list[str]:
        """Return the completed steps of the newest order."""
        return self.page.locator(".order").first.locator("li[data-reached=true] b").all_inner_texts()


Visitor = Callable[..., Visit]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    running = RunningShop(tmp_path_factory.mktemp("browser") / "shop").wait_ready()
    yield running
    running.stop()


@pytest.fixture(scope="module")
def chromium() -> Iterator[Browser]:
    """Provide a browser that ends with its module: playwright's event loop occupies the thread of all tests."""
    path = next(filter(None, map(shutil.which, NAMES)), None)
    if path is None:
        pytest.skip("no Chromium here: install it, e.g. with `apt-get install -y chromium`, and run again")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=path, args=list(FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(shop: RunningShop, chromium: Browser) -> Iterator[Visitor]:
    """Provide a function that opens the page as a new visitor and waits until it is live."""
    expect.set_options(timeout=PATIENCE_MS)
    contexts = []

    def open_page(viewport: dict[str, int] = DESK, scheme: str = "light") -> Visit:
        context = chromium.new_context(viewport=viewport, color_scheme=scheme, locale="en-US")  # type: ignore[arg-type]  # its literals
        contexts.append(context)
        page = context.new_page()
        page.add_init_script(COUNT_STREAMS)
        visitor = Visit(page, [], [])
        page.on("request", lambda request: visitor.requested.append(request.url))
        page.on("pageerror", lambda error: visitor.errors.append(str(error)))
        page.goto(shop.url)
        expect(page.locator("#connection")).to_have_text("Live")
        return visitor

    yield open_page
    for context in contexts:
        context.close()


def tab_to(page: Page, selector: str) -> None:
    """Press Tab until this element has the focus; fail if it never does."""
    for _ in range(TABS_MAX):
        page.keyboard.press("Tab")
        if page.locator(selector).evaluate("one => one === document.activeElement"):
            return
    raise AssertionError(f"{selector} cannot be reached with {TABS_MAX} presses of Tab")


def admin(shop: RunningShop) -> dict[str, str]:
    """Return headers of an admin."""
    return bearer(shop.data, "an-admin", "admin")


@contextmanager
def shelf_held(shop: RunningShop, product: int) -> Iterator[None]:
    """Lock the product's stock row, so that its orders stay PENDING."""
    with connect(shop.database_url) as connection, connection.transaction():
        connection.execute("SELECT FROM stock WHERE product_id = %s FOR UPDATE", (str(product),))
        yield


def pending_order(page: Page, product: int) -> str:
    """Place an order of the signed-in buyer that waits for its stock, and return its path."""
    asked = """async (product) => {
      const headers = { "content-type": "application/json", "idempotency-key": crypto.randomUUID() };
      const body = JSON.stringify({ userId: localStorage.buyer, items: [{ productId: product, qty: 1 }] });
      return (await (await fetch("/api/v1/orders", { method: "POST", headers, body })).json()).orderId;
    }"""
    return f"/orders/{page.evaluate(asked, product)}"


def ask(shop: RunningShop, method: str, path: str, body: Any = None, headers: Mapping[str, str] | None = None) -> Any:
    """Send a request of another client."""
    raw = None if body is None else json.dumps(body).encode()
    sent = {"content-type": "application/json", **(headers or {})}
    request = urllib.request.Request(shop.url + path, raw, sent, method=method)
    with urllib.request.urlopen(request, timeout=10) as answer:
        return json.loads(answer.read() or b"null")


def stock(shop: RunningShop) -> int:
    return int(ask(shop, "GET", "/api/v1/sync/stock/1")["stock"])


def restock(shop: RunningShop, units: int) -> None:
    ask(shop, "PUT", f"/api/v1/sync/stock/1/reset?stock={units}")


def buy(shop: RunningShop, user_id: int) -> None:
    ask(shop, "POST", "/api/v1/sync/purchase", {"productId": 1, "quantity": 1, "userId": user_id})
