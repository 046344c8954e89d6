"""What the documents list is what there is."""

import re
from dataclasses import fields
from pathlib import Path

from runtime.catalogue import ROOT
from runtime.settings import Settings
from shop.db.audit import checks

OPERATIONS = (ROOT / "docs" / "operations.md").read_text()


def test_every_setting_is_described_and_no_other() -> None:
    table = OPERATIONS.partition("## Settings")[2].partition("\n## ")[0]
    first_cells = [line.split("|")[1] for line in table.splitlines() if line.startswith("| ")]
    described = {name for cell in first_cells for name in re.findall(r"`([A-Z][A-Z_]+)`", cell)}
    assert described == {field.name.upper() for field in fields(Settings)}, "mend the table in docs/operations.md"


def test_every_rule_of_the_audit_is_described_in_its_own_words() -> None:
    rows = {c.name: f"| [`{c.name}`](../shop/db/checks/{c.name}.sql) | {c.holds} |" for c in checks()}
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
