"""edge: serves the API's description as document and page, and redirects a problem's type to its section."""

import json
import re

from pulsecart.runtime.deps import Deps
from pulsecart.runtime.problem import PROBLEM_ROOT
from tests.functions.test_edge import ask, deps, header
from tools.openapi.problems import listed

__all__ = ["deps"]


async def test_the_document_is_served_and_asked_for_again_costs_no_body(deps: Deps) -> None:
    reply = await ask(deps, "GET", "/api/openapi.json")
    assert (reply.status, reply.media_type) == (200, "application/json")
    assert "/api/v1/sync/purchase" in json.loads(reply.body)["paths"]
    again = await ask(deps, "GET", "/api/openapi.json", if_none_match=header(reply, "etag"))
    assert (again.status, again.body) == (304, b"")


async def test_the_page_loads_nothing_from_elsewhere_and_runs_nothing(deps: Deps) -> None:
    reply = await ask(deps, "GET", "/docs/api")
    page = reply.body.decode()
    assert reply.media_type == "text/html; charset=utf-8"
    assert "<script" not in page
    assert "style=" not in page
    for loaded in re.findall(r'(?:src|<link[^>]*href)="([^"]+)"', page):
        assert loaded.startswith("/static/")
        assert (await ask(deps, "GET", loaded)).status == 200, loaded


async def test_every_link_of_the_page_leads_to_a_place_on_it_that_is_there_once(deps: Deps) -> None:
    page = (await ask(deps, "GET", "/docs/api")).body.decode()
    places = re.findall(r'id="([^"]+)"', page)
    assert len(places) == len(set(places))
    assert set(re.findall(r'href="#([^"]+)"', page)) <= set(places)
    assert set(re.findall(r'aria-labelledby="([^"]+)"', page)) <= set(places)


async def test_the_type_of_every_problem_leads_to_what_it_means(deps: Deps) -> None:
    page = (await ask(deps, "GET", "/docs/api")).body.decode()
    root = PROBLEM_ROOT.removeprefix("https://pulsecart.dev")
    for type in listed():
        reply = await ask(deps, "GET", f"{root}/{type}")
        path, _, place = header(reply, "location").partition("#")
        assert (reply.status, path) == (302, "/docs/api")
        assert f'<dt id="{place}"><code>{type}</code>' in page


async def test_a_problem_that_no_one_answers_has_no_page(deps: Deps) -> None:
    reply = await ask(deps, "GET", "/problems/nothing")
    assert reply.status == 404
    assert json.loads(reply.body)["type"].endswith("/no-such-problem")
