"""No URL and no answer of a name server leads the outgoing client to an address that is not public."""

from ipaddress import IPv4Address, IPv6Address

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pulsecart.bridges.outgoing_http.addresses import is_public
from pulsecart.bridges.outgoing_http.client import OutgoingHttp
from pulsecart.bridges.outgoing_http.results import NotAllowed
from pulsecart.bridges.outgoing_http.urls import check_url, target_of
from pulsecart.runtime.outgoing_allow import Allowed, allowed_of

STRICT = Allowed()
LONG = "a" * 64

# (URL, reason): refused before anything is resolved, when a subscription is created and at each call.
URLS = [
    # addresses of this machine and of its networks
    ("https://127.0.0.1/", "private-address"),
    ("https://127.255.255.254:8443/hook", "private-address"),
    ("https://0.0.0.0/", "private-address"),
    ("https://10.0.0.5/", "private-address"),
    ("https://172.16.0.1/", "private-address"),
    ("https://172.31.255.255/", "private-address"),
    ("https://192.168.1.1/", "private-address"),
    ("https://100.64.0.1/", "private-address"),
    ("https://169.254.1.1/", "private-address"),
    ("https://224.0.0.1/", "private-address"),
    ("https://255.255.255.255/", "private-address"),
    ("https://198.18.0.1/", "private-address"),
    ("https://203.0.113.9/", "private-address"),
    # metadata of clouds
    ("https://169.254.169.254/latest/meta-data/", "private-address"),
    ("https://[fd00:ec2::254]/latest/meta-data/", "private-address"),
    ("https://100.100.100.200/", "private-address"),
    ("https://168.63.129.16/", "private-address"),
    ("https://192.0.0.192/", "private-address"),
    ("https://metadata.google.internal/", "private-address"),
    # IPv6, and IPv4 in it
    ("https://[::1]/", "private-address"),
    ("https://[::]/", "private-address"),
    ("https://[::ffff:127.0.0.1]/", "private-address"),
    ("https://[::ffff:7f00:1]/", "private-address"),
    ("https://[::127.0.0.1]/", "private-address"),
    ("https://[0:0:0:0:0:ffff:a9fe:a9fe]/", "private-address"),
    ("https://[64:ff9b::7f00:1]/", "private-address"),
    ("https://[64:ff9b::169.254.169.254]/", "private-address"),
    ("https://[64:ff9b:1::8.8.8.8]/", "private-address"),
    ("https://[2002:7f00:1::]/", "private-address"),
    ("https://[2002:a9fe:a9fe::1]/", "private-address"),
    ("https://[2001:0:5ef5:79fb:0:0:80ff:fffe]/", "private-address"),
    ("https://[fe80::1]/", "private-address"),
    ("https://[fec0::1]/", "private-address"),
    ("https://[fc00::1]/", "private-address"),
    ("https://[ff02::1]/", "private-address"),
    ("https://[2001:db8::1]/", "private-address"),
    ("https://[fe80::1%25eth0]/", "host"),
    ("https://[fe80::1%eth0]/", "host"),
    ("https://[::1/", "host"),
    ("https://[::1]x/", "port"),
    ("https://[127.0.0.1]/", "host"),
    # other spellings of 127.0.0.1
    ("https://2130706433/", "host"),
    ("https://0x7f000001/", "host"),
    ("https://017700000001/", "host"),
    ("https://0177.0.0.1/", "host"),
    ("https://0x7f.0.0.1/", "host"),
    ("https://127.1/", "host"),
    ("https://127.0.1/", "host"),
    ("https://127.0.0.1./", "host"),
    ("https://127.0.0.01/", "host"),
    ("https://127.0.0.1.0x1/", "host"),
    ("https://256.256.256.256/", "host"),
    ("https://①②⑦.⓪.⓪.①/", "host"),
    ("https://１２７.０.０.１/", "host"),
    ("https://127。0。0。1/", "host"),
    ("https://١٢٧.٠.٠.١/", "host"),
    # names of this machine, network or cluster
    ("https://localhost/", "private-address"),
    ("https://LOCALHOST./", "private-address"),
    ("https://ｌｏｃａｌｈｏｓｔ/", "private-address"),
    ("https://shop.localhost/", "private-address"),
    ("https://postgresql/", "private-address"),
    ("https://kubernetes.default.svc.cluster.local/", "private-address"),
    ("https://printer.local/", "private-address"),
    ("https://router.home.arpa/", "private-address"),
    # parts that another parser could take for the host
    ("https://user:password@hooks.example/", "credentials"),
    ("https://hooks.example@127.0.0.1/", "credentials"),
    ("https://127.0.0.1\\@hooks.example/", "url"),
    ("https://hooks.example\\.127.0.0.1/", "url"),
    ("https://127.0.0.1%2f@hooks.example/", "credentials"),
    ("https://127.0.0.1%00.hooks.example/", "host"),
    ("https://hooks.example%2e/", "host"),
    ("https://hooks.example#@127.0.0.1/", "fragment"),
    ("https://hooks.example/#", "fragment"),
    ("https://hooks.example:443:80/", "host"),
    ("https:///127.0.0.1/", "host"),
    ("https:127.0.0.1/", "url"),
    ("//127.0.0.1/", "url"),
    ("https://hooks.example\t/", "host"),
    ("https://hooks.example\r\nhost: localhost/", "port"),
    (" https://hooks.example/", "url"),
    ("https://hooks.example/\r\nx: 1", "url"),
    ("https://hooks.example/ /", "url"),
    ("https://hooks.example/%zz", "url"),
    ("https://hooks.example/é", "url"),
    ("https://hooks..example/", "host"),
    ("https://-hooks.example/", "host"),
    (f"https://{LONG}.example/", "host"),
    ("https:///", "host"),
    ("https://./", "host"),
    (f"https://hooks.example/{'a' * 2048}", "url"),
    # ports and schemes
    ("https://hooks.example:0/", "port"),
    ("https://hooks.example:65536/", "port"),
    ("https://hooks.example:4٣/", "port"),
    ("https://hooks.example:+443/", "port"),
    ("http://hooks.example/", "scheme"),
    ("http://93.184.216.34/", "scheme"),
    ("ftp://hooks.example/", "scheme"),
    ("file:///etc/passwd", "scheme"),
    ("gopher://127.0.0.1:6379/_FLUSHALL", "scheme"),
    ("ws://hooks.example/", "scheme"),
    ("unix:///run/docker.sock", "scheme"),
    ("", "url"),
    ("hooks.example", "url"),
    ("javascript:alert(1)", "url"),
]

# Answers of a name server that are refused, each as a whole.
RESOLVED = [
    ["127.0.0.1"],
    ["10.1.2.3"],
    ["172.20.0.1"],
    ["192.168.0.1"],
    ["100.127.255.255"],
    ["169.254.169.254"],
    ["0.0.0.0"],
    ["192.0.2.1"],
    ["198.51.100.1"],
    ["198.19.255.255"],
    ["239.1.1.1"],
    ["240.0.0.1"],
    ["192.88.99.1"],
    ["168.63.129.16"],
    ["::1"],
    ["::"],
    ["::ffff:10.0.0.1"],
    ["::ffff:93.184.216.34"],
    ["::93.184.216.34"],
    ["fd00:ec2::254"],
    ["fd20:ce::254"],
    ["fe80::1%eth0"],
    ["fe80::1"],
    ["fec0::1"],
    ["ff0e::1"],
    ["64:ff9b::a00:1"],
    ["64:ff9b:1::1"],
    ["2002:c0a8:101::1"],
    ["2001:0:1::1"],
    ["2001:2::1"],
    ["2001:10::1"],
    ["2001:20::1"],
    ["3fff::1"],
    ["5f00::1"],
    ["100::1"],
    ["4000::1"],
    ["93.184.216.34", "10.0.0.1"],
    ["2606:2800:220:1::1", "::1"],
]

PUBLIC = [
    ("https://hooks.example", ("https", "hooks.example", 443, "/")),
    ("https://hooks.example?a=1", ("https", "hooks.example", 443, "/?a=1")),
    ("HTTPS://Hooks.Example.:8443/a/../b?x=%2F", ("https", "hooks.example", 8443, "/a/../b?x=%2F")),
    ("https://bücher.example/", ("https", "xn--bcher-kva.example", 443, "/")),
    ("https://93.184.216.34:9/", ("https", "93.184.216.34", 9, "/")),
    ("https://[2606:2800:220:1:248:1893:25C8:1946]/", ("https", "2606:2800:220:1:248:1893:25c8:1946", 443, "/")),
    ("https://[64:ff9b::8.8.8.8]/", ("https", "64:ff9b::808:808", 443, "/")),
    ("https://localhost.hooks.example/", ("https", "localhost.hooks.example", 443, "/")),
    ("https://10.hooks.example/", ("https", "10.hooks.example", 443, "/")),
    ("https://a_b.hooks.example:/", ("https", "a_b.hooks.example", 443, "/")),
]


async def nothing_is_resolved(name: str) -> list[str]:
    raise AssertionError(f"{name} was resolved")


@pytest.mark.parametrize(("url", "reason"), URLS)
async def test_a_url_that_must_not_be_called_is_refused_when_it_is_subscribed_and_when_it_is_called(
    url: str, reason: str
) -> None:
    with pytest.raises(NotAllowed) as refused:
        check_url(url, STRICT)
    assert refused.value.reason == reason
    client = OutgoingHttp(STRICT, resolve=nothing_is_resolved)
    with pytest.raises(NotAllowed) as again:
        await client.send("POST", url, [], b"{}")
    assert again.value.reason == reason
    assert str(again.value).endswith(".")
    await client.close()


@pytest.mark.parametrize("addresses", RESOLVED, ids=" ".join)
async def test_a_name_is_refused_if_one_of_its_addresses_is_not_public(
    addresses: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def new_socket(*_: object, **__: object) -> None:
        raise AssertionError("a socket was made, even for the public one of several addresses")

    monkeypatch.setattr("pulsecart.bridges.outgoing_http.pools.new_socket", new_socket)

    async def resolve(name: str) -> list[str]:
        assert name == "hooks.example."
        return addresses

    client = OutgoingHttp(STRICT, resolve=resolve)
    with pytest.raises(NotAllowed, match="not public") as refused:
        await client.send("POST", "https://hooks.example/", [], b"{}")
    assert refused.value.reason == "private-address"
    assert not any(address in str(refused.value) for address in addresses), "it says what our network has"
    await client.close()


@pytest.mark.parametrize(("url", "parts"), PUBLIC)
def test_a_public_url_is_accepted_and_its_path_stays_as_it_is(url: str, parts: tuple[str, str, int, str]) -> None:
    target = target_of(url, STRICT)
    assert (target.scheme, target.host, target.port, target.path) == parts


@given(st.one_of(st.ip_addresses(v=4), st.ip_addresses(v=6)))
def test_a_public_address_is_global_for_python_too(address: IPv4Address | IPv6Address) -> None:
    if is_public(address):
        assert address.is_global
        assert not address.is_multicast


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("127.0.0.1", "http://127.0.0.1:9000/"),
        ("::1", "http://[::1]:9000/"),
        ("10.0.0.0/8", "http://10.1.2.3/"),
        ("localhost", "http://LOCALHOST:9000/"),
        ("receiver.test, 10.0.0.0/8", "http://receiver.test/"),
        ("postgresql", "https://postgresql/"),
        ("Receiver.Test.", "http://receiver.test./"),
    ],
)
def test_what_is_on_the_allow_list_may_be_private_and_without_tls(allow: str, url: str) -> None:
    check_url(url, allowed_of(allow))
    with pytest.raises(NotAllowed):
        check_url(url, STRICT)


@pytest.mark.parametrize(
    ("allow", "url"),
    [
        ("127.0.0.1", "http://127.0.0.2/"),
        ("127.0.0.1", "https://localhost/"),
        ("127.0.0.1", "https://[::ffff:127.0.0.1]/"),
        ("localhost", "https://127.0.0.1/"),
        ("receiver.test", "http://a.receiver.test/"),
        ("receiver.test", "http://receiver.test.hooks.example/"),
        ("10.0.0.0/8", "http://hooks.example/"),
    ],
)
def test_the_allow_list_allows_nothing_else(allow: str, url: str) -> None:
    with pytest.raises(NotAllowed):
        check_url(url, allowed_of(allow))


@pytest.mark.parametrize(
    "entry", ["10.0.0.1/8", "127.1", "0x7f.1", "http://a.example", "a b", "*.test", "a..b", "[::1]"]
)
def test_a_bad_entry_of_the_allow_list_is_named(entry: str) -> None:
    with pytest.raises(ValueError, match="is no network like") as error:
        allowed_of(f"127.0.0.1, {entry}")
    assert entry in str(error.value)
