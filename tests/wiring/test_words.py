"""Docstrings, comments, texts and pages use standard terms: the private words that they replaced do not return."""

import ast
import io
import re
import tokenize
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from tools.operations_table import ROOT

CODE = sorted(
    path for folder in ("benchmarks", "functions", "pulsecart", "tools") for path in (ROOT / folder).rglob("*.py")
)
SCRIPTS_IN_PYTHON = sorted((ROOT / "scripts").glob("*.py"))
TESTS = sorted(path for path in (ROOT / "tests").rglob("*.py") if path != Path(__file__))
PAGES = sorted([*(ROOT / "docs").glob("*.md"), ROOT / "CONTRIBUTING.md", ROOT / "README.md"])
DESCRIPTIONS = sorted({*(ROOT / "contracts/http").glob("*.yaml"), ROOT / "contracts/problems.yaml"})
STATIC = ROOT / "pulsecart/edge/web/static"
SCRIPTS = sorted(
    path
    for pattern in ("scripts/*", ".ci/run", "Dockerfile", "Tiltfile", "k8s/**/*.yaml", "eventing/*.yaml")
    for path in ROOT.glob(pattern)
    if path.is_file() and path.suffix != ".py"
)
LITERALS_EXCEPT = {
    "pulsecart/admin/demo.py": "the demo's products, as a shop describes them",
}
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
# A clause or a phrase without a subject at the beginning, or a bare "who" as an object.
BARE = re.compile(
    r"^(?:what(?:ever)?|who(?:ever|m|se)?|when|where|which|how|as|of|until)\b"
    r"|^one (?:that|who|whose|which|of|outside)\b"
    r"|\b(?:after|by|for|from|of|than|to|with) whom?\b",
    re.IGNORECASE,
)
QUOTED = re.compile(
    r"```.*?```|``.*?``|`[^`\n]*`|^ *\w+: (?=\S)|\]\([^)]*\)|\w+/\w+|--[\w-]+", re.DOTALL | re.MULTILINE
)


def docstrings(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each docstring."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef):
            docstring = ast.get_docstring(node, clean=False)
            if docstring is not None:
                yield node.body[0].lineno, docstring


def prose(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each docstring and comment."""
    text = path.read_text()
    yield from docstrings(path)
    for token in tokenize.generate_tokens(io.StringIO(text).readline):
        if token.type == tokenize.COMMENT:
            yield token.start[0], token.string


def literals(path: Path) -> Iterator[tuple[int, str]]:
    """Yield (line, text) of each string literal with a space, the docstrings included."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value.strip():
            yield node.lineno, node.value


def sentences(node: object) -> Iterator[str]:
    """Yield the texts of an API description: they have a space, names and codes have none."""
    if isinstance(node, dict):
        for value in node.values():
            yield from sentences(value)
    elif isinstance(node, list):
        for value in node:
            yield from sentences(value)
    elif isinstance(node, str) and " " in node:
        yield node


def private_words(text: str) -> list[str]:
    """Return each private word in ``text`` outside of code, with the terms that replace it."""
    found = []
    for match in BANNED.finditer(QUOTED.sub(" ", text)):
        group = next(int(name[1:]) for name, value in match.groupdict().items() if value)
        found.append(f"{match[0]!r}: write {list(INSTEAD.values())[group]}")
    return found


def has_a_subject(docstring: str) -> bool:
    """Return whether the first line is a sentence about its object; "What …", "Who …" and "Of …" are not."""
    first_line = docstring.strip().split("\n", 1)[0]
    return not BARE.search(QUOTED.sub(" ", first_line))


def test_a_docstring_begins_with_what_its_object_is_or_does() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: write subject, verb and object: {text.strip().splitlines()[0]}"
        for path in (*CODE, *TESTS, Path(__file__), *SCRIPTS_IN_PYTHON)
        for line, text in docstrings(path)
        if not has_a_subject(text)
    ]
    assert not found, "\n".join(found)


def test_docstrings_and_comments_have_no_private_words() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in (*CODE, *TESTS)
        for line, text in prose(path)
        for word in private_words(text)
    ]
    assert not found, "\n".join(found)


def test_texts_of_the_code_have_no_private_words() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{line}: {word}"
        for path in CODE
        if str(path.relative_to(ROOT)) not in LITERALS_EXCEPT
        for line, text in literals(path)
        for word in private_words(text)
    ]
    assert not found, "\n".join(found)


@pytest.mark.parametrize("path", DESCRIPTIONS, ids=lambda path: path.name)
def test_a_description_of_the_api_has_no_private_words(path: Path) -> None:
    texts = list(sentences(yaml.safe_load(path.read_text())))
    assert [word for text in texts for word in private_words(text)] == []


def test_scripts_and_manifests_have_no_private_words() -> None:
    found = [f"{path.relative_to(ROOT)}: {word}" for path in SCRIPTS for word in private_words(path.read_text())]
    assert not found, "\n".join(found)


def test_the_shops_pages_have_no_private_words() -> None:
    pages = [path for path in STATIC.iterdir() if path.suffix in (".html", ".js", ".css")]
    found = [f"{path.name}: {word}" for path in pages for word in private_words(path.read_text())]
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


@pytest.mark.parametrize(
    "docstring",
    [
        "What the gate answers.",
        "\n    Who may read an order.\n\n    The rest is correct.\n    ",
        "Whose cart it is.",
        "Of the newest order.",
        "As ./scripts/up starts it.",
        "One that answers the same for all would prove nothing.",
        "Sends the event again to who failed.",
    ],
)
def test_a_first_line_without_a_subject_is_found(docstring: str) -> None:
    assert not has_a_subject(docstring)


@pytest.mark.parametrize(
    "docstring",
    [
        "Return the callers that may read an order.",
        "One product's row; ``version`` is the sequence of its newest event.",
        "Whether the order can be paid.",
        "The shop cannot start; the message is one sentence: what is wrong, and what to do.",
        "Return the buyer who first received the order.",
        "``what`` names the condition.\n\n    What is missing is in the message.",
        "Warns before a start without whole settings.",
    ],
)
def test_a_first_line_with_a_subject_is_not_found(docstring: str) -> None:
    assert has_a_subject(docstring)
