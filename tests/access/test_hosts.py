"""A demo on this machine answers only to its own host names: a foreign name may resolve to this machine."""

import asyncio
from dataclasses import replace
from typing import Any

import httpx
import pytest
from websockets.asyncio.client import connect
from websockets.exceptions import InvalidStatus

from pulsecart.runtime.settings import DEMO_ON_A_CLUSTER, MissingSetting, Settings, read
from pulsecart.serving.hosts import Hosts
from tests.access.conftest import ServedShop

OURS = ["127.0.0.1", "127.0.0.1:80", "localhost", "LOCALHOST:8080", "localhost.", "[::1]:8080", "shop.localhost", ""]
OTHERS = [
    *("evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "evillocalhost"),
    *("192.168.1.7:8080", "0.0.0.0:8080", "[fe80::1]", "evil@localhost", "localhost:port", "[::1", "a b", "☃"),
]


def host(settings: Settings, *named: str) -> bool:
    headers = [(b"host", name.encode()) for name in named]
    return Hosts(settings).knows({"type": "http", "headers": [(b"accept", b"*/*"), *headers]})


def test_a_demo_answers_to_this_machine_s_names_alone(settings: Settings) -> None:
    demo = replace(settings, accept_unsigned_buyers=True)
    assert [name for name in OURS if not host(demo, name)] == []
    assert [name for name in OTHERS if host(demo, name)] == []
    assert host(demo), "a program of HTTP/1.0 names none"
    assert not host(demo, "localhost", "evil.example")


def test_the_address_that_was_connected_to_is_its_own(settings: Settings) -> None:
    hosts = Hosts(replace(settings, accept_unsigned_buyers=True))
    for named, good in ((b"10.0.0.4:8080", True), (b"10.0.0.5:8080", False), (b"evil.example", False)):
        scope = {"type": "http", "headers": [(b"host", named)], "server": ("10.0.0.4", 8080)}
        assert hosts.knows(scope) == good, named
        assert not hosts.knows(scope | {"headers": [(b"host", named), (b"host", b"evil.example")]}), named


def test_the_public_address_and_those_allowed_are_its_names_too(settings: Settings) -> None:
    demo = replace(
        settings,
        accept_unsigned_buyers=True,
        public_url="https://Demo.Example:8443",
        allowed_hosts="box-7.preview.example, 10.0.0.4,fe80::1",
    )
    for name in ("demo.example", "DEMO.example:1", "box-7.preview.example:443", "10.0.0.4", "[fe80::1]:8080"):
        assert host(demo, name), name
    for name in ("a.demo.example", "preview.example", "example"):
        assert not host(demo, name), name


def test_where_buyers_sign_in_and_on_a_cluster_s_demo_every_name_is_good(settings: Settings) -> None:
    for one in (settings, replace(settings, accept_unsigned_buyers=DEMO_ON_A_CLUSTER)):
        assert all(host(one, name) for name in (*OURS, *OTHERS))


@pytest.mark.parametrize("name", ["https://shop.example", "shop.example:8080", "*", "a b", "shop/example"])
def test_what_is_no_name_stops_the_start(name: str) -> None:
    with pytest.raises(MissingSetting, match="ALLOWED_HOSTS"):
        read({"DATABASE_URL": "", "REDIS_URL": "", "ALLOWED_HOSTS": f"good.example,{name}"})


async def test_a_request_for_another_name_is_421_and_does_nothing(demo: ServedShop) -> None:
    evil = {"host": "evil.example", "origin": "http://evil.example"}
    asked: list[tuple[str, str, Any]] = [
        ("GET", "/", None),
        ("GET", "/healthz", None),
        ("GET", "/api/v1/orders?userId=7", None),
        ("GET", "/metrics", None),
        ("GET", "/sse/stock/1", None),
        ("GET", "/nothing", None),
        ("POST", "/api/v1/sync/purchase", {"productId": 1, "userId": 7}),
        ("PUT", "/api/v1/sync/stock/1/reset?stock=0", None),
    ]
    for method, path, body in asked:
        refused = await demo.http.request(method, path, json=body, headers=evil)
        assert (refused.status_code, refused.json()["type"].rsplit("/")[-1]) == (421, "unknown-host"), path
    assert (await demo.http.get("/api/v1/sync/stock/1")).json()["stock"] == 1000


async def test_a_socket_for_another_name_is_not_opened(demo: ServedShop) -> None:
    port = httpx.URL(str(demo.http.base_url)).port
    with pytest.raises(InvalidStatus) as refused:
        async with connect(f"ws://evil.example:{port}/ws/orders", host="127.0.0.1", port=port, proxy=None):
            pass
    assert refused.value.response.status_code == 403


async def test_without_a_host_http_1_0_is_answered(demo: ServedShop) -> None:
    port = httpx.URL(str(demo.http.base_url)).port
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"GET /healthz HTTP/1.0\r\n\r\n")
    assert (await reader.readline()).split()[1] == b"200"
    writer.close()
