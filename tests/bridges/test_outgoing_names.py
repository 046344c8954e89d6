"""The outgoing client connects to the address that it checked, at every connect, whatever name servers answer."""

import asyncio
import socket
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from ipaddress import ip_address
from pathlib import Path
from ssl import SSLContext

import pytest

from pulsecart.bridges.outgoing_http import lookups
from pulsecart.bridges.outgoing_http.client import OutgoingHttp
from pulsecart.bridges.outgoing_http.pools import new_socket
from pulsecart.bridges.outgoing_http.results import Failure, Limits, NotAllowed
from pulsecart.runtime.outgoing_allow import Allowed, allowed_of
from tests import receivers as r
from tests.certificates import DAY, Authority, authority
from tests.listening import listen
from tests.receivers import receiving

CHECKED, PRIVATE = "127.0.0.2", "127.0.0.1"  # the first stands for a public address, by the allow list
PUBLIC_IS = allowed_of(CHECKED)


@pytest.fixture
def trusted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Authority:
    """An authority that the client trusts."""
    made = authority(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(made.file))
    return made


class Names:
    """A name server; each look-up of any name gets the next answer, the last one stays."""

    def __init__(self, *answers: list[str]) -> None:
        self._answers = list(answers)
        self.asked: list[str] = []

    async def __call__(self, name: str) -> list[str]:
        self.asked.append(name)
        return self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]


@asynccontextmanager
async def on_both(behaviour: r.Behaviour, tls: SSLContext) -> AsyncIterator[tuple[r.Receiver, r.Receiver]]:
    """A receiver on the checked address and one on the private address, on one port."""
    async with receiving(behaviour, tls=tls, address=CHECKED) as public:  # noqa: SIM117  # the port is its
        async with receiving(behaviour, tls=tls, address=PRIVATE, port=public.port) as private:
            yield public, private


async def test_a_name_that_is_bound_to_a_private_address_after_its_check_is_not_called_there(
    trusted: Authority,
) -> None:
    tls = trusted.server("rebound.example")
    names = Names([CHECKED], [PRIVATE])
    client = OutgoingHttp(PUBLIC_IS, resolve=names)
    once = r.answers(200, [("connection", "close")])
    async with on_both(once, tls) as (public, private):
        url = public.url("rebound.example")
        assert (await client.send("POST", url, [], b"1")).status == 200
        with pytest.raises(NotAllowed) as refused:
            await client.send("POST", url, [], b"2")
        assert refused.value.reason == "private-address"
        assert (public.connections, private.connections) == (1, 0)
    assert names.asked == ["rebound.example."] * 2, "one look-up for each connection, from the root"
    await client.close()


async def test_a_kept_connection_stays_at_the_checked_address_when_its_name_is_bound_elsewhere(
    trusted: Authority,
) -> None:
    tls = trusted.server("rebound.example")
    names = Names([CHECKED], [PRIVATE])
    client = OutgoingHttp(PUBLIC_IS, resolve=names)
    async with on_both(r.answers(), tls) as (public, private):
        for _ in range(3):
            await client.send("POST", public.url("rebound.example"), [], b"{}")
        assert (public.connections, len(public.got), private.connections) == (1, 3, 0)
    assert names.asked == ["rebound.example."]
    await client.close()


async def test_a_connection_of_one_name_is_not_used_for_another_name(trusted: Authority) -> None:
    """Another name on the same address is resolved and checked for itself."""
    names = Names([CHECKED], [PRIVATE])
    client = OutgoingHttp(PUBLIC_IS, resolve=names)
    async with receiving(r.answers(), tls=trusted.server("a.example"), address=CHECKED) as public:
        await client.send("POST", public.url("a.example"), [], b"{}")
        with pytest.raises(NotAllowed):
            await client.send("POST", public.url("b.example"), [], b"{}")
        assert public.connections == 1
    await client.close()


async def test_the_certificate_must_be_the_names_although_the_address_is_what_is_called(trusted: Authority) -> None:
    client = OutgoingHttp(PUBLIC_IS, resolve=Names([CHECKED]))
    async with receiving(r.answers(), tls=trusted.server("hooks.example"), address=CHECKED) as receiver:
        answer = await client.send("POST", receiver.url("hooks.example"), [], b"{}")
        assert answer.status == 200
        assert receiver.got[0].headers["host"] == f"hooks.example:{receiver.port}"
        with pytest.raises(Failure, match="not valid") as failed:
            await client.send("POST", receiver.url("other.example"), [], b"{}")
        assert failed.value.reason == "tls"
    await client.close()


@pytest.mark.parametrize("wrong", ["expired", "not yet", "self-signed", "unknown authority"])
async def test_a_certificate_that_is_not_valid_is_a_failure_of_tls_and_nothing_is_sent(
    wrong: str, trusted: Authority, tmp_path: Path
) -> None:
    (tmp_path / "other").mkdir()
    tls = {
        "expired": lambda: trusted.server("hooks.example", since=-2 * DAY, until=-DAY),
        "not yet": lambda: trusted.server("hooks.example", since=DAY, until=2 * DAY),
        "self-signed": lambda: trusted.self_signed("hooks.example"),
        "unknown authority": lambda: authority(tmp_path / "other").server("hooks.example"),
    }[wrong]()
    client = OutgoingHttp(PUBLIC_IS, resolve=Names([CHECKED]))
    async with receiving(r.answers(), tls=tls, address=CHECKED) as receiver:
        with pytest.raises(Failure, match="certificate is not valid: ") as failed:
            await client.send("POST", receiver.url("hooks.example"), [], b"secret")
        assert failed.value.reason == "tls"
        assert receiver.got == []
    await client.close()


async def test_a_server_that_answers_in_plain_http_is_a_failure_of_tls() -> None:
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        writer.close()

    server = await asyncio.start_server(plain, sock=listen((CHECKED, 0)))
    client = OutgoingHttp(PUBLIC_IS, resolve=Names([CHECKED]))
    with pytest.raises(Failure) as failed:
        await client.send("POST", f"https://hooks.example:{server.sockets[0].getsockname()[1]}/", [], b"{}")
    assert failed.value.reason == "tls"
    await client.close()
    server.close()


async def test_a_server_that_hangs_in_the_tls_handshake_is_given_up_after_the_time_for_connecting() -> None:
    client = OutgoingHttp(PUBLIC_IS, Limits(total_s=10.0, connect_s=0.3), resolve=Names([CHECKED]))
    async with receiving(r.hangs(), address=CHECKED) as receiver:
        with pytest.raises(Failure, match="accepted no connection") as failed:
            await client.send("POST", f"https://hooks.example:{receiver.port}/", [], b"{}")
        assert failed.value.reason == "timeout"
        await receiver.until(lambda it: it.open == 0)
    await client.close()


async def test_the_next_address_is_used_where_the_first_does_not_answer() -> None:
    client = OutgoingHttp(allowed_of("receiver.test"), resolve=Names(["127.0.0.3", "127.0.0.2"]))
    async with receiving(r.answers(), address="127.0.0.2") as receiver:
        assert (await client.send("POST", receiver.url("receiver.test"), [], b"{}")).status == 200
    await client.close()


def test_no_socket_is_made_for_an_address_that_is_not_allowed() -> None:
    with pytest.raises(NotAllowed):
        new_socket((socket.AF_INET, socket.SOCK_STREAM, 6, "", (PRIVATE, 443)), may=lambda address: False)
    with new_socket(
        (socket.AF_INET, socket.SOCK_STREAM, 6, "", (PRIVATE, 443)), may=ip_address(PRIVATE).__eq__
    ) as made:
        assert made.type == socket.SOCK_STREAM


@pytest.mark.parametrize(
    "answer", [[], socket.gaierror(socket.EAI_NONAME, "no"), socket.gaierror(socket.EAI_AGAIN, "")]
)
async def test_a_name_without_an_address_is_unresolvable(
    answer: list[object] | OSError, monkeypatch: pytest.MonkeyPatch
) -> None:
    def getaddrinfo(*_: object, **__: object) -> list[object]:
        if isinstance(answer, OSError):
            raise answer
        return answer

    monkeypatch.setattr("pulsecart.bridges.outgoing_http.lookups.socket.getaddrinfo", getaddrinfo)
    client = OutgoingHttp(Allowed())
    with pytest.raises(Failure) as failed:
        await client.send("POST", "https://hooks.example/", [], b"")
    assert failed.value.reason == "unresolvable"
    await client.close()


async def test_silent_name_servers_of_one_host_hold_one_thread_and_delay_no_other_host(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    released = threading.Event()
    asked: list[str] = []

    def getaddrinfo(name: str, *_: object, **__: object) -> list[tuple[object, ...]]:
        asked.append(name)
        if name == "silent.example.":
            released.wait(30)
        return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", 0))]

    monkeypatch.setattr("pulsecart.bridges.outgoing_http.lookups.socket.getaddrinfo", getaddrinfo)
    client = OutgoingHttp(allowed_of("receiver.test"), Limits(total_s=10.0, connect_s=0.2))
    try:
        calls = [client.send("POST", "https://silent.example/", [], b"") for _ in range(8)]
        failures = await asyncio.gather(*calls, return_exceptions=True)
        assert [failure.reason for failure in failures if isinstance(failure, Failure)] == ["unresolvable"] * 8
        assert asked == ["silent.example."]
        async with receiving(r.answers()) as receiver:
            assert (await client.send("POST", receiver.url("receiver.test"), [], b"")).status == 200
        assert asked == ["silent.example.", "receiver.test"], "an allowed name is resolved as the system does it"
    finally:
        released.set()
        await client.close()


async def test_look_ups_are_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    released = threading.Event()
    monkeypatch.setattr(lookups, "LOOKUPS_MAX", 1)

    def getaddrinfo(*_: object, **__: object) -> list[object]:
        released.wait(30)
        return []

    monkeypatch.setattr("pulsecart.bridges.outgoing_http.lookups.socket.getaddrinfo", getaddrinfo)
    resolving = lookups.Lookups()
    first = asyncio.create_task(resolving.addresses("a.example."))
    await asyncio.sleep(0)
    with pytest.raises(Failure, match="too many"):
        await resolving.addresses("b.example.")
    released.set()
    assert await first == []
    assert await resolving.addresses("b.example.") == []
