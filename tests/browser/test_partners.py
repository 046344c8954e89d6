"""A partner looks after its webhooks on the page /partners."""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Browser, Page, ViewportSize, expect

from tests.browser.conftest import DESK, PATIENCE_MS, ask, tab_to
from tests.browser.endpoint import Endpoint, endpoint
from tests.browser.test_accessibility import assert_accessible
from tests.local.running_shop import RunningShop
from tests.tokens import bearer

PHONE: ViewportSize = {"width": 390, "height": 844}
PAID = "ecommerce.order.order.paid.v1"
SUBSCRIPTIONS = "/api/v1/webhook-subscriptions"
OpenPage = Callable[..., Page]


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    data = tmp_path_factory.mktemp("partners") / "shop"
    running = RunningShop(data, environ={"OUTGOING_ALLOW": "127.0.0.1"}).wait_ready()
    yield running
    running.stop()


@pytest.fixture
def hook() -> Iterator[Endpoint]:
    with endpoint() as opened:
        yield opened


@pytest.fixture
def partner(request: pytest.FixtureRequest) -> str:
    """Provide a partner of this test alone."""
    return f"partner-of-{abs(hash(request.node.nodeid)) % 10**9}"


@pytest.fixture
def open_page(shop: RunningShop, chromium: Browser, partner: str) -> Iterator[OpenPage]:
    """Provide a function that opens the page and signs in as the test's partner."""
    expect.set_options(timeout=PATIENCE_MS)
    contexts = []
    errors: list[str] = []

    def opened(viewport: Any = DESK, scheme: Any = "light", *, signed_in: bool = True) -> Page:
        context = chromium.new_context(viewport=viewport, color_scheme=scheme, locale="en-US")
        contexts.append(context)
        page = context.new_page()
        page.on("pageerror", lambda error: errors.append(str(error)))
        page.goto(f"{shop.url}/partners")
        if signed_in:
            sign_in(page, token(shop, partner))
            expect(page.locator("#partner")).to_have_text(partner)
        return page

    yield opened
    for context in contexts:
        context.close()
    assert errors == []


def token(shop: RunningShop, user: str, role: str = "partner") -> str:
    return bearer(shop.data, user, role)["authorization"].removeprefix("Bearer ")


def sign_in(page: Page, text: str) -> None:
    page.fill("#token", text)
    page.get_by_role("button", name="Sign in").click()


def subscribed(shop: RunningShop, partner: str, url: str, **members: Any) -> str:
    body = {"url": url, "eventTypes": ["ecommerce.order.*"], "scheduleS": []} | members
    return str(ask(shop, "POST", SUBSCRIPTIONS, body, bearer(shop.data, partner, "partner"))["subscriptionId"])


def send_example(page: Page) -> None:
    page.get_by_role("button", name="Send an example").click()
    expect(page.locator("#example")).to_have_value(re.compile(r"ecommerce\.order\."))
    page.locator("#choose").get_by_role("button", name="Send", exact=True).click()
    expect(page.locator("#message")).to_contain_text("The log shows its attempt.")


def test_a_subscription_is_made_and_its_secret_is_shown_once(
    shop: RunningShop, partner: str, hook: Endpoint, open_page: OpenPage
) -> None:
    page = open_page()
    expect(page.locator("#no-subscriptions")).to_be_visible()
    page.locator("#new-part summary").click()
    page.fill("#url", hook.url)
    page.get_by_role("button", name="Subscribe").click()
    expect(page.locator("#message")).to_have_text("Choose at least one kind of event.")
    page.get_by_label("order.*: all of them").check()
    page.get_by_role("button", name="Subscribe").click()
    expect(page.locator("#secret")).to_have_text(re.compile("^whsec_.{44}$"))
    expect(page.locator("#secret-part")).to_be_focused()
    expect(page.locator("#subscriptions h3")).to_have_text(hook.url)
    expect(page.locator("#subscriptions .state")).to_have_text("ACTIVE")
    secret = page.inner_text("#secret")
    page.get_by_role("button", name="I have stored it").click()
    assert secret not in page.content()
    page.reload()
    expect(page.locator("#subscriptions h3")).to_have_text(hook.url)
    expect(page.locator("#secret-part")).to_be_hidden()
    (listed,) = ask(shop, "GET", SUBSCRIPTIONS, headers=bearer(shop.data, partner, "partner"))["subscriptions"]
    assert listed["eventTypes"] == ["ecommerce.order.*"]


def test_what_the_shop_refuses_is_said(open_page: OpenPage) -> None:
    page = open_page()
    page.locator("#new-part summary").click()
    page.fill("#url", "http://10.0.0.1/hook")
    page.get_by_label("all events").check()
    page.get_by_role("button", name="Subscribe").click()
    expect(page.locator("#message")).to_contain_text("The URL's address is not public")
    expect(page.locator("#message")).to_have_attribute("data-kind", "bad")
    expect(page.locator("#url")).to_have_value("http://10.0.0.1/hook")


def test_an_example_appears_in_the_log_with_its_request_and_response(
    shop: RunningShop, partner: str, hook: Endpoint, open_page: OpenPage
) -> None:
    subscribed(shop, partner, hook.url)
    page = open_page()
    send_example(page)
    expect(page.locator("#one-title")).to_have_text(hook.url)
    expect(page.locator("#live")).to_have_text("Live")
    line = page.locator("#log li")
    expect(line).to_contain_text("delivered: answer 200")
    line.get_by_role("button").click()
    expect(page.locator("#message-title")).to_be_focused()
    expect(page.locator(".request pre")).to_contain_text(f"POST {hook.url}")
    expect(page.locator(".request pre")).to_contain_text("webhook-signature: v1,")
    sent = json.loads(page.inner_text(".request pre").partition("\n\n")[2])
    assert sent == json.loads(hook.got[0])
    expect(page.locator(".response pre")).to_contain_text("200")
    expect(page.locator(".response pre")).to_contain_text('{"received": true}')
    expect(page.locator("#skip")).to_be_disabled()


def test_a_message_that_failed_is_sent_again(
    shop: RunningShop, partner: str, hook: Endpoint, open_page: OpenPage
) -> None:
    hook.status = 500
    subscribed(shop, partner, hook.url)
    page = open_page()
    send_example(page)
    expect(page.locator("#log li")).to_contain_text("failed: answer 500")
    hook.status = 200
    page.locator("#log").get_by_role("button").click()
    expect(page.locator("#attempts details")).to_have_count(1)
    page.get_by_role("button", name="Send again").click()
    expect(page.locator("#message")).to_have_text("The message is sent again.")
    expect(page.locator("#log li")).to_have_count(2)
    expect(page.locator("#log li").first).to_contain_text("delivered: answer 200")
    page.get_by_role("button", name="Refresh").click()
    ends = [re.compile("Attempt 2: delivered"), re.compile("Attempt 1: failed")]
    expect(page.locator("#attempts summary")).to_have_text(ends)


def test_all_that_failed_since_a_time_are_counted_and_sent_again_after_a_question(
    shop: RunningShop, partner: str, hook: Endpoint, open_page: OpenPage
) -> None:
    hook.status = 500
    subscription = subscribed(shop, partner, hook.url)
    page = open_page()
    headers = bearer(shop.data, partner, "partner")
    for _ in range(2):
        ask(shop, "POST", f"{SUBSCRIPTIONS}/{subscription}/example", {"eventType": PAID}, headers)
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#log li")).to_have_count(2)
    expect(page.locator("#log")).not_to_contain_text("in flight")
    hook.status = 200
    page.fill("#since", "2026-01-01T00:00")
    page.get_by_role("button", name="Count them").click()
    expect(page.locator("#question")).to_have_text("Send 2 failed messages again?")
    page.locator("#confirm").get_by_role("button", name="Cancel").click()
    expect(page.locator("#message")).to_be_hidden()
    page.get_by_role("button", name="Count them").click()
    page.locator("#confirm").get_by_role("button", name="Send again").click()
    expect(page.locator("#message")).to_have_text("Sent again: 2.")
    expect(page.locator("#log li")).to_have_count(4)
    page.locator("#status").select_option("DELIVERED")
    expect(page.locator("#messages li")).to_have_count(2)
    page.locator("#status").select_option("FAILED")
    expect(page.locator("#no-messages")).to_be_visible()


def test_a_subscription_is_paused_resumed_rotated_and_deleted(
    shop: RunningShop, partner: str, hook: Endpoint, open_page: OpenPage
) -> None:
    subscribed(shop, partner, hook.url)
    page = open_page()
    page.get_by_role("button", name="Pause").click()
    expect(page.locator("#subscriptions .state")).to_have_text("PAUSED")
    expect(page.get_by_role("button", name="Resume")).to_be_focused()
    send_example(page)
    expect(page.locator("#messages .state")).to_have_text("PENDING")
    expect(page.locator("#subscriptions .backlog")).to_have_text("1 waiting, 0 failed")
    assert hook.got == []
    page.get_by_role("button", name="Resume").click()
    expect(page.locator("#subscriptions .state")).to_have_text("ACTIVE")
    expect(page.locator("#log li")).to_contain_text("delivered")
    page.get_by_role("button", name="Rotate the secret").click()
    page.locator("#confirm").get_by_role("button", name="Make a new secret").click()
    expect(page.locator("#secret")).to_have_text(re.compile("^whsec_"))
    page.get_by_role("button", name="Delete").click()
    page.keyboard.press("Escape")
    expect(page.locator("#subscriptions li")).to_have_count(1)
    page.get_by_role("button", name="Delete").click()
    page.locator("#confirm").get_by_role("button", name="Delete").click()
    expect(page.locator("#no-subscriptions")).to_be_visible()
    expect(page.locator("#one")).to_be_hidden()


def test_the_log_stops_while_the_page_is_hidden_and_on_request(
    shop: RunningShop, partner: str, hook: Endpoint, open_page: OpenPage
) -> None:
    subscribed(shop, partner, hook.url)
    page = open_page()
    page.get_by_role("button", name="Open").click()
    expect(page.locator("#live")).to_have_text("Live")
    page.evaluate("""() => {
      Object.defineProperty(document, "hidden", { get: () => window.away, configurable: true });
      window.away = true;
      document.dispatchEvent(new Event("visibilitychange"));
    }""")
    expect(page.locator("#live")).to_have_text("Stopped")
    page.evaluate("() => { window.away = false; document.dispatchEvent(new Event('visibilitychange')); }")
    expect(page.locator("#live")).to_have_text("Live")
    page.get_by_role("button", name="Stop the log").click()
    expect(page.locator("#live")).to_have_text("Stopped")
    page.get_by_role("button", name="Start the log").click()
    expect(page.locator("#live")).to_have_text("Live")


def test_the_token_stays_in_the_tab_and_is_forgotten_with_a_bad_answer_or_signing_out(
    shop: RunningShop, partner: str, open_page: OpenPage
) -> None:
    page = open_page()
    assert page.evaluate("localStorage.length") == 0
    assert page.context.cookies() == []
    page.get_by_role("button", name="Sign out").click()
    expect(page.locator("#token")).to_be_focused()
    assert page.evaluate("sessionStorage.length") == 0
    for text, reason in (("no-token", "expired or is not valid"), (token(shop, "7", "customer"), "partner's token")):
        sign_in(page, text)
        expect(page.locator("#message")).to_contain_text(reason)
        expect(page.locator("#sign-in")).to_be_visible()
        assert page.evaluate("sessionStorage.length") == 0
    sign_in(page, token(shop, partner))
    expect(page.locator("#no-subscriptions")).to_be_visible()


def test_another_partner_s_subscriptions_are_not_there(shop: RunningShop, hook: Endpoint, open_page: OpenPage) -> None:
    subscribed(shop, "another-co", hook.url)
    expect(open_page().locator("#no-subscriptions")).to_be_visible()


def test_it_is_used_without_a_mouse(shop: RunningShop, partner: str, hook: Endpoint, open_page: OpenPage) -> None:
    subscribed(shop, partner, hook.url)
    page = open_page(signed_in=False)
    tab_to(page, "#token")
    page.keyboard.insert_text(token(shop, partner))
    page.keyboard.press("Enter")
    expect(page.locator("#subscriptions-title")).to_be_focused()
    tab_to(page, '[data-act^="example"]')
    page.keyboard.press("Enter")
    expect(page.locator("#choose")).to_be_visible()
    tab_to(page, '#choose [value="yes"]')
    page.keyboard.press("Enter")
    expect(page.locator("#log li")).to_contain_text("delivered")
    tab_to(page, "#log button")
    page.keyboard.press("Enter")
    expect(page.locator("#message-title")).to_be_focused()
    tab_to(page, "#resend")
    page.keyboard.press("Enter")
    expect(page.locator("#message")).to_have_text("The message is sent again.")


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_axe_finds_nothing_and_a_phone_scrolls_in_one_direction(
    shop: RunningShop, partner: str, hook: Endpoint, open_page: OpenPage, scheme: str
) -> None:
    hook.status = 500
    subscribed(shop, partner, hook.url + "/with-a-path-that-is-long" * 6, scheduleS=[1, 3600])
    page = open_page(PHONE, scheme, signed_in=False)
    expect(page.locator("#sign-in")).to_be_visible()
    assert_accessible(page)
    sign_in(page, token(shop, partner))
    page.locator("#new-part summary").click()
    send_example(page)
    expect(page.locator("#log li")).to_have_count(2)
    page.locator("#log button").first.click()
    expect(page.locator("#attempts details")).to_have_count(2)
    page.get_by_text("The event", exact=True).click()
    page.get_by_role("button", name="Rotate the secret").click()
    expect(page.locator("#confirm")).to_be_visible()
    assert Axe().run(page).violations_count == 0, "of the dialog: the rest of the page is inert"
    page.locator("#confirm").get_by_role("button", name="Make a new secret").click()
    expect(page.locator("#secret")).to_be_visible()
    assert_accessible(page)
    assert page.evaluate("document.documentElement.scrollWidth") <= PHONE["width"]
