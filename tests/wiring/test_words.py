"""Docstrings, comments and pages use standard terms: private words that once stood for them do not come back."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest

from tools.operations_table import ROOT

CODE = sorted(
    path for folder in ("benchmarks", "functions", "pulsecart", "tools") for path in (ROOT / folder).rglob("*.py")
)
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "README.md"])
INSTEAD = {
    r"hears?|heard": "subscribes to, receives, handles",
    r"tells?|told": "publishes, sends, returns, reports",
    r"doors?": "adapter, entrance of requests",
    r"knock(?:s|ed)?|pok(?:e|es|ed)": "wake-up, wakes",
    r"nobody|somebody|anybody|everybody|whoever|whom": "the subject itself: a client, a buyer, no process",
    r"anew": "again, from the start",
    r"served alone": "deployed on its own",
    r"neighbours?": "other processes, peers",
}
BANNED = re.compile("|".join(rf"(?P<w{at}>\b(?:{words})\b)" for at, words in enumerate(INSTEAD)), re.IGNORECASE)
QUOTED = re.compile(r"```.*?```|``.*?``|`[^`\n]*`|^ *\w+: (?=\S)|\]\([^)]*\)|\w+/\w+", re.DOTALL | re.MULTILINE)


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """(line, text) of each docstring and comment."""
    text = path.read_text()
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring is not None:
                yield node.body[0].lineno, docstring
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def private_words(text: str) -> list[str]:
    """Each private word in ``text`` outside of code, with the terms that replace it."""
    found = []
    for match in BANNED.finditer(QUOTED.sub(" ", text)):
        group = next(int(name[1:]) for name, value in match.groupdict().items() if value)
        found.append(f"{match[0]!r}: write {list(INSTEAD.values())[group]}")
    return found


def test_docstrings_and_comments_have_no_private_words() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in CODE
        for line, text in prose(path)
        for word in private_words(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("page", PAGES, ids=lambda path: path.name)
def test_a_page_has_no_private_words(page: Path) -> None:
    assert not private_words(page.read_text())


def test_every_module_says_what_it_does() -> None:
    silent = [
        str(path.relative_to(ROOT))
        for path in CODE
        if path.name != "__init__.py" and not ast.get_docstring(ast.parse(path.read_text()))
    ]
    assert not silent


def test_a_private_word_is_found_and_code_is_not() -> None:
    assert private_words("Nobody hears it.") == [
        "'Nobody': write the subject itself: a client, a buyer, no process",
        "'hears': write subscribes to, receives, handles",
    ]
    assert not private_words("Calls `hear` of ``Operation.hear``, see [x](hear.md).\n    told: the events")
    assert private_words("| a | a rule that is told |") == ["'told': write publishes, sends, returns, reports"]
