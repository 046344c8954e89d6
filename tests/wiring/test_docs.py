"""The documents list exactly the existing parts."""

import re
from dataclasses import fields
from pathlib import Path

import yaml

from pulsecart.runtime import bounds
from pulsecart.runtime.settings import Settings
from pulsecart.serving import bodies, idempotency
from pulsecart.shop.audit.db.questions import checks
from tools.new_operation.wanted import departments
from tools.operations_table import ROOT

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def test_every_setting_is_described_and_no_other() -> None:
    table = OPERATIONS.partition("## Settings")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    described = {name for cell in first_cells for name in re.findall(r"`([A-Z][A-Z_]+)`", cell)}
    assert described == {field.name.upper() for field in fields(Settings)}, "mend the table in docs/operations.md"


def test_every_rule_of_the_audit_is_described_in_its_own_words() -> None:
    rows = {c.name: f"| [`{c.name}`](../pulsecart/shop/audit/db/checks/{c.name}.sql) | {c.holds} |" for c in checks()}
    missing = [name for name, row in rows.items() if row not in OPERATIONS]
    assert missing == [], "mend the table in docs/operations.md"


def test_every_link_between_documents_leads_somewhere() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("contracts/*.md")]:
        for target in re.findall(r"\]\(([^)#:]+)\)", document.read_text()):
            assert (document.parent / target).exists(), f"{document.name}: {target}"


def test_every_script_that_a_document_names_exists() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md")]:
        for script in re.findall(r"\./(scripts/[a-z-]+)", document.read_text()):
            assert Path(ROOT / script).is_file(), f"{document.name}: {script}"


def test_the_table_of_bounds_has_the_bounds_of_the_code() -> None:
    table = (ROOT / "docs" / "input.md").read_text().partition("\n## One bad member")[0]
    for output in (
        f"{bounds.ATTRIBUTE_BYTES:,} bytes of UTF-8; no control",
        f"{bounds.EXTENSION_BYTES:,} bytes of UTF-8; at most {bounds.EXTENSIONS_MAX} of them",
        f"1 to {bounds.SEQUENCE_DIGITS} ASCII digits of a number up to {bounds.SEQUENCE_MAX}",
        f"0 to 10^{len(str(bounds.AMOUNT_MAX)) - 1}",
        f"1 to {bounds.PARAMETER_CHARACTERS} printable characters",
        f"at most {bodies.DEPTH_MAX} levels and {bodies.VALUES_MAX:,} values",
        f"1 to {bodies.ID_MAX} printable ASCII",
        f"1 to {idempotency.KEY_MAX} printable ASCII",
    ):
        assert output in table, f"docs/input.md: {output}"


def _plain(text: str) -> str:
    return re.sub("[^a-z0-9]+", "", text.lower())


def test_every_word_of_the_glossary_is_used_in_the_file_that_it_names() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text()
    rows = re.findall(r"^\| ([^|]+) \| [^|]+\. \| \[([^]]+)\]\(\.\./([^)]+)\) \|$", text, re.MULTILINE)
    assert len(rows) == len([line for line in text.splitlines() if line.startswith("| ") and "| Means |" not in line])
    words = [word for word, _, _ in rows]
    assert len(words) == len(set(words)), "one word, one meaning"
    for word, shown, path in rows:
        assert shown == path
        assert _plain(word) in _plain(path + (ROOT / path).read_text()), f"docs/glossary.md: {word} is not in {path}"


def test_every_page_is_listed_once_under_a_reader() -> None:
    text = (ROOT / "docs" / "README.md").read_text()
    listed = re.findall(r"^- \[([^]]+)\]\(\1\): .+$", text, re.MULTILINE)
    assert len(listed) == len(set(listed)), "docs/README.md lists a page twice"
    pages = {path.name for path in (ROOT / "docs").glob("*.md")} - {"README.md"}
    assert set(listed) == pages, "list every page in docs/README.md, in one line"


def _anchors(page: Path) -> set[str]:
    """Return the anchors of its headings, as GitHub makes them: lower case, spaces as hyphens, no other marks."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_link_to_a_heading_leads_to_one() -> None:
    for document in [*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("contracts/*.md")]:
        for target, anchor in re.findall(r"\]\(([^)#:]*)#([^)]+)\)", document.read_text()):
            page = document.parent / target if target else document
            assert anchor in _anchors(page), f"{document.name}: {target}#{anchor}"


def test_a_commit_is_checked_by_local_commands_that_exist() -> None:
    config = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
    assert [repository["repo"] for repository in config["repos"]] == ["local"]
    entries = [hook["entry"] for repository in config["repos"] for hook in repository["hooks"]]
    assert entries == ["./scripts/check --fast"]


def test_the_contributor_s_table_has_every_step_of_the_check() -> None:
    steps = re.findall(
        r"^ *(?:\[ .*\|\| )?step '?([a-z ]+?)'? [\".]", (ROOT / "scripts" / "check").read_text(), re.MULTILINE
    )
    table = (ROOT / "CONTRIBUTING.md").read_text().partition("## When a check fails")[2].partition("\n## ")[0]
    assert len(steps) == 7
    assert [step for step in steps if f"`{step}`" not in table] == []


def test_the_contributor_s_pages_name_every_room_and_department() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text()
    rooms = [path.parent for path in (ROOT / "pulsecart").glob("*/__init__.py")]
    assert sorted(room.name for room in rooms if f"`pulsecart/{room.name}/`" not in text) == []
    assert [name for name in departments() if f"`{name}`" not in text] == []
