"""A request's head is validated before any application behind the server."""

import asyncio
from collections.abc import AsyncIterator
from time import thread_time

import pytest

from pulsecart.serving.headers import FIELDS_MAX
from pulsecart.serving.server.bounds import HEAD_MAX_BYTES, PIPELINE_MAX, TARGET_MAX_BYTES
from tests.edge.conftest import eventually
from tests.serving.raw import HOST, Echo, echoing, next_answer

GET = b"GET / HTTP/1.1\r\n"
POST = b"POST / HTTP/1.1\r\n"
END = b"\r\n"


@pytest.fixture
async def echo() -> AsyncIterator[Echo]:
    async with echoing() as running:
        yield running


REFUSED = {
    "no Host": (GET + END, 400, "host-missing"),
    "two Hosts": (GET + HOST + HOST + END, 400, "header-repeated"),
    "an empty Host": (GET + b"Host:\r\n" + END, 400, "host-malformed"),
    "a path in Host": (GET + b"Host: a/b?\r\n" + END, 400, "host-malformed"),
    "a blank in Host": (GET + b"Host: a b\r\n" + END, 400, "host-malformed"),
    "a user in Host": (GET + b"Host: a@b\r\n" + END, 400, "host-malformed"),
    "a malformed Host in HTTP/1.0": (b"GET / HTTP/1.0\r\nHost: a/b\r\n" + END, 400, "host-malformed"),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n" + HOST + END, 505, "http-version-unknown"),
    "HTTP/2.0 that stays": (b"GET / HTTP/2.0\r\nConnection: keep-alive\r\n" + HOST + END, 505, "http-version-unknown"),
    "HTTP/0.9": (b"GET /\r\n\r\n", 505, "http-version-unknown"),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n" + HOST + END, 400, "request-malformed"),
    "a folded line": (GET + HOST + b"X: a\r\n b\r\n" + END, 400, "request-malformed"),
    "a bare line feed": (b"GET / HTTP/1.1\nHost: a\n\n", 400, "request-malformed"),
    "a bare carriage return": (GET + HOST + b"X: a\rb\r\n" + END, 400, "request-malformed"),
    "NUL in a value": (GET + HOST + b"X: a\0b\r\n" + END, 400, "request-malformed"),
    "a blank before the colon": (GET + HOST + b"X : a\r\n" + END, 400, "request-malformed"),
    "a field without a name": (GET + HOST + b": a\r\n" + END, 400, "request-malformed"),
    "both framings": (
        POST + HOST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "request-malformed"
    ),
    "both, the other way round": (
        POST + HOST + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n", 400, "request-malformed"
    ),
    "two equal lengths": (POST + HOST + b"Content-Length: 3\r\nContent-Length: 3\r\n\r\nabc", 400, "request-malformed"),
    "a signed length": (POST + HOST + b"Content-Length: +3\r\n\r\nabc", 400, "request-malformed"),
    "a coding before chunked": (
        POST + HOST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501, "transfer-coding-unknown"
    ),
    "another coding": (POST + HOST + b"Transfer-Encoding: identity\r\n\r\n", 501, "transfer-coding-unknown"),
    "chunks in HTTP/1.0": (
        b"POST / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400, "request-malformed"
    ),
    "a malformed chunk": (
        POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabcX0\r\n\r\n", 400, "request-malformed"
    ),
    "CONNECT": (b"CONNECT a:80 HTTP/1.1\r\n" + HOST + END, 400, "target-malformed"),
    "a user in the address": (b"GET http://a@b/ HTTP/1.1\r\n" + HOST + END, 400, "target-malformed"),
    "an address too long": (
        b"GET /" + b"a" * TARGET_MAX_BYTES + b" HTTP/1.1\r\n" + HOST + END, 414, "target-too-long"
    ),
    "too many fields": (
        GET + HOST + b"".join(b"X-%d: a\r\n" % n for n in range(FIELDS_MAX)) + END, 431, "head-too-large"
    ),
    "one field too long": (GET + HOST + b"X: " + b"a" * HEAD_MAX_BYTES + END + END, 431, "head-too-large"),
    "a WebSocket with a body": (
        GET + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\nContent-Length: 1\r\n\r\na",
        400, "upgrade-malformed",
    ),
    "a WebSocket by POST": (
        POST + HOST + b"Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n", 400, "upgrade-malformed"
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", REFUSED)
async def test_what_is_no_request_is_refused_in_words_and_the_connection_closed(echo: Echo, what: str) -> None:
    sent, status, problem = REFUSED[what]
    (answer,) = await echo.answers(sent)
    assert (answer.status, answer.problem, answer.headers["connection"]) == (status, problem, "close")
    assert answer.headers["content-type"] == "application/problem+json"
    assert echo.seen == []


SINGLE = (
    "Authorization: Bearer a|Authorization: Bearer b", "Content-Type: a/b|Content-Type: a/b", "Origin: a|Origin: b",
    "Idempotency-Key: a|idempotency-key: b", "ce-id: a|CE-ID: b", "ce-anything: a|ce-anything: a", "Range: a|Range: b",
    "traceparent: a|traceparent: b", "Correlation-Id: a|Correlation-Id: b", "Request-Timeout: 1|Request-Timeout: 2",
    "If-Modified-Since: a|If-Modified-Since: b", "Last-Event-ID: 1-0|Last-Event-ID: 2-0", "webhook-id: a|webhook-id: b",
)  # fmt: skip


@pytest.mark.parametrize("lines", SINGLE)
async def test_a_field_that_has_one_value_comes_once(echo: Echo, lines: str) -> None:
    (answer,) = await echo.answers(GET + HOST + lines.replace("|", "\r\n").encode() + END + END)
    assert (answer.status, answer.problem) == (400, "header-repeated")
    assert echo.seen == []


LISTS = {
    "Cookie: a=1|Cookie: b=2": ("cookie", "a=1; b=2"),
    "Accept: text/html|X: y|Accept: text/event-stream;q=0.5": ("accept", "text/html, text/event-stream;q=0.5"),
    'If-None-Match: "1"|If-None-Match: "2"|If-None-Match: "3"': ("if-none-match", '"1", "2", "3"'),
    'If-Match: "1"|if-match: W/"2"': ("if-match", '"1", W/"2"'),
    "X-Forwarded-For: 1.2.3.4|X-Forwarded-For: 5.6.7.8": ("x-forwarded-for", "1.2.3.4, 5.6.7.8"),
    "X-Anything: a|X-Anything:": ("x-anything", "a, "),
}


@pytest.mark.parametrize("lines", LISTS)
async def test_the_lines_of_a_list_are_one_list_in_their_order(echo: Echo, lines: str) -> None:
    answer = await echo.answer(GET + HOST + lines.replace("|", "\r\n").encode() + END + END)
    name, value = LISTS[lines]
    assert answer.echo["headers"][name] == value


async def test_a_trailer_is_no_header_of_this_request_nor_of_the_next(echo: Echo) -> None:
    trailers = b"Authorization: Bearer evil\r\nOrigin: https://evil.example\r\nHost: evil\r\nX-New: evil\r\n"
    chunked = POST + HOST + b"Origin: https://good.example\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n"
    reader, writer = await echo.connect()
    writer.write(chunked + trailers + END + b"GET /next HTTP/1.1\r\n" + HOST + END)
    first, second = await next_answer(reader), await next_answer(reader)
    writer.close()
    assert first.echo["headers"] == {
        "host": "shop.test", "origin": "https://good.example", "transfer-encoding": "chunked"
    }  # fmt: skip
    assert (first.echo["body"], second.echo["path"], second.echo["headers"]) == ("abc", "/next", {"host": "shop.test"})


async def test_trailers_and_chunk_extensions_without_end_are_cut_off(echo: Echo) -> None:
    begun = POST + HOST + b"Transfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
    for endless in (b"0\r\nX: ", b"0\r\n" + b"X: a\r\n" * 100_000, b"1;"):
        reader, writer = await echo.connect()
        writer.write(begun + endless + b"a" * 1_000_000)
        assert (await next_answer(reader)).status == 431
        writer.close()
    assert echo.seen == []


async def test_http_1_0_needs_no_host_and_ends_with_its_answer(echo: Echo) -> None:
    for more in (b"", b"Connection: keep-alive\r\n"):
        (answer,) = await echo.answers(b"GET /old HTTP/1.0\r\n" + more + END)
        assert (answer.status, answer.echo["path"], answer.headers["connection"]) == (200, "/old", "close")


async def test_a_body_that_is_asked_for_is_sent_and_http_1_0_never_asks(echo: Echo) -> None:
    expecting = HOST + b"Content-Length: 3\r\nExpect: 100-continue\r\n\r\n"
    reader, writer = await echo.connect()
    writer.write(POST + expecting)
    assert (await next_answer(reader)).status == 100
    writer.write(b"abc")
    assert (await next_answer(reader)).echo["body"] == "abc"
    writer.close()
    (answer,) = await echo.answers(b"POST / HTTP/1.0\r\n" + expecting + b"abc")
    assert answer.echo["body"] == "abc"


async def test_a_body_too_large_is_refused_before_it_is_sent(echo: Echo) -> None:
    answer = await echo.answer(POST + HOST + b"Content-Length: 99999999\r\nExpect: 100-continue\r\n\r\n")
    assert (answer.status, answer.problem) == (413, "body-too-large")


async def test_an_absolute_address_names_the_host_whatever_the_header_says(echo: Echo) -> None:
    cases = {b"http://other.test": "/", b"HTTP://other.test:8080/x?y=1": "/x", b"http://[::1]:80/": "/"}
    hosts = []
    for target, path in cases.items():
        answer = await echo.answer(b"GET " + target + b" HTTP/1.1\r\n" + HOST + END)
        assert answer.echo["path"] == path
        hosts.append(answer.echo["headers"]["host"])
    assert hosts == ["other.test", "other.test:8080", "[::1]:80"]


async def test_a_client_that_would_rather_speak_another_http_is_answered_body_and_all(echo: Echo) -> None:
    """Java's client sends its first request so."""
    h2c = b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQ\r\n"
    for framing in (b"Content-Length: 3\r\n\r\nabc", b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n"):
        (answer,) = await echo.answers(POST + HOST + h2c + framing)
        assert (answer.status, answer.echo["body"]) == (200, "abc")
    (answer,) = await echo.answers(GET + HOST + h2c + END)
    assert answer.status == 200


async def test_a_head_as_large_as_it_may_be_is_read(echo: Echo) -> None:
    begun = GET + HOST + b"Cookie: "
    answer = await echo.answer(begun + b"c" * (HEAD_MAX_BYTES - len(begun) - 4) + END + END)
    assert (answer.status, len(answer.echo["headers"]["cookie"])) == (200, HEAD_MAX_BYTES - len(begun) - 4)


async def test_ten_megabytes_of_cookies_cost_their_reading_and_no_more(echo: Echo) -> None:
    sent = GET + HOST + b"Cookie: " + b"c" * 10_000_000
    began = thread_time()
    (answer,) = await echo.answers(sent + END + END)
    assert (answer.status, answer.problem) == (431, "head-too-large")
    assert thread_time() - began < 1.0, "of which the client's own half"


async def test_a_head_too_large_behind_a_request_under_way_is_kept_no_longer_either() -> None:
    going_on = asyncio.Event()

    async def slow(scope: object, receive: object, send: object) -> None:
        await going_on.wait()
        await send({"type": "http.response.start", "status": 204, "headers": []})  # type: ignore[operator]
        await send({"type": "http.response.body"})  # type: ignore[operator]

    async with echoing(handler=slow) as echo:
        reader, writer = await echo.connect()
        writer.write(GET + HOST + END)
        writer.write(GET + HOST + b"X: " + b"x" * 1_000_000)
        await eventually(lambda: echo.guard._ended["head-too-large"] > 0)
        going_on.set()
        assert [(await next_answer(reader)).status for _ in range(2)] == [204, 431]
        writer.close()


async def test_requests_in_a_row_are_answered_in_order_and_the_bad_one_last(echo: Echo) -> None:
    many = b"".join(b"GET /%d HTTP/1.1\r\n" % n + HOST + END for n in range(5))
    answers = await echo.answers(many + b"NONSENSE\r\n\r\n")
    assert [answer.status for answer in answers] == [200] * 5 + [400]
    assert [answer.echo["path"] for answer in answers[:-1]] == [f"/{n}" for n in range(5)]


async def test_requests_that_wait_for_earlier_answers_are_bounded(echo: Echo) -> None:
    answers = await echo.answers((GET + HOST + END) * 5_000)
    assert answers[-1].problem == "pipeline-too-long"
    assert len(answers) == PIPELINE_MAX + 2, "one under way, those that wait, and the refusal"
