"""The pages have URLs of their own, and load only existing files that their content security policy permits."""

import re
from html.parser import HTMLParser

import pytest

from tests.edge.conftest import Edge

PAGES = ["/", "/products/1", "/cart", "/orders", "/orders/some-order", "/orders/some-order/passport", "/partners"]
NAMES = re.compile(r'(?:src|href)="(/static/[^"]+)"|(?:from|import) "\./([^"]+)"|"\./([^"/]+\.js)"')


class Inline(HTMLParser):
    """Finds the inline code that a policy without ``unsafe-inline`` would block."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = dict(attrs)
        if tag == "style" or (tag == "script" and "src" not in names):
            self.found.append(tag)
        self.found += [name for name in names if name == "style" or name.startswith("on")]


async def all_of(edge: Edge, page: str) -> dict[str, str]:
    """Return every file that the page loads, modules' imports included, as path → text; require 200 for each."""
    files: dict[str, str] = {}
    wanted = [page]
    while wanted:
        path = wanted.pop()
        answer = await edge.client.get(path)
        assert answer.status_code == 200, path
        files[path] = answer.text
        named = ("".join(names) for names in NAMES.findall(answer.text))
        found = {name if name.startswith("/") else f"/static/{name}" for name in named}
        wanted += found - files.keys() - set(wanted)
    return files


@pytest.mark.parametrize("page", PAGES)
async def test_each_page_is_at_its_address_with_everything_it_needs_and_nothing_inline(edge: Edge, page: str) -> None:
    files = await all_of(edge, page)
    answer = await edge.client.get(page)
    assert answer.headers["content-type"] == "text/html; charset=utf-8"
    assert "unsafe" not in answer.headers["content-security-policy"]
    assert any(path.endswith(".js") for path in files)
    assert any(path.endswith(".css") for path in files)
    inline = Inline()
    inline.feed(answer.text)
    assert inline.found == []
    assert not re.findall(r"https?://(?!www\.w3\.org)", "".join(files.values()))
    again = await edge.client.get(page, headers={"if-none-match": answer.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")


async def test_no_page_weighs_more_than_a_picture(edge: Edge) -> None:
    for page in PAGES:
        assert sum(len(text.encode()) for text in (await all_of(edge, page)).values()) < 64_000


async def test_what_has_no_page_is_no_page(edge: Edge) -> None:
    for path in ("/products", "/cart/1", "/orders/1/nothing", "/static/nothing.js"):
        assert (await edge.client.get(path)).status_code == 404
