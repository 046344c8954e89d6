"""A request's client address is correct behind trusted and untrusted proxies."""

import pytest

from pulsecart.runtime.settings import MissingSetting
from pulsecart.serving.addresses import Proxies

INSIDE = "127.0.0.0/8, ::1, 10.0.0.0/8"


@pytest.mark.parametrize(
    ("peer", "forwarded", "client"),
    [
        ("203.0.113.7", "", "203.0.113.7"),
        ("203.0.113.7", "198.51.100.1", "203.0.113.7"),  # a stranger's word
        ("127.0.0.1", "", "127.0.0.1"),
        ("127.0.0.1", "198.51.100.1", "198.51.100.1"),
        ("10.1.2.3", "1.1.1.1, 198.51.100.1, 10.9.9.9", "198.51.100.1"),  # what stands before it is made up
        ("10.1.2.3", "10.0.0.5, 10.0.0.6", "10.0.0.5"),
        ("127.0.0.1", "198.51.100.1:4711", "198.51.100.1"),
        ("127.0.0.1", "[2001:db8::1]:4711", "2001:db8::1"),
        ("::ffff:10.1.2.3", "2001:db8:0::1", "2001:db8::1"),
        ("127.0.0.1", "198.51.100.1, unknown", "127.0.0.1"),
        ("127.0.0.1", "x" * 10_000, "127.0.0.1"),
        ("", "198.51.100.1", "198.51.100.1"),  # a Unix socket
    ],
)
def test_the_nearest_address_that_is_no_trusted_proxy_is_the_client_s(peer: str, forwarded: str, client: str) -> None:
    assert Proxies(INSIDE).client_of({"x-forwarded-for": forwarded}, peer) == client


def test_no_proxy_is_trusted_where_the_setting_names_none() -> None:
    assert Proxies("").client_of({"x-forwarded-for": "198.51.100.1"}, "127.0.0.1") == "127.0.0.1"


def test_what_is_no_network_stops_the_start() -> None:
    with pytest.raises(MissingSetting, match="TRUSTED_PROXIES"):
        Proxies("10.0.0.0/8, everybody")
