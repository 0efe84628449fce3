"""The documentation says what is true."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from remotejob import settings
from remotejob.domain.states import diagram

DOCUMENTS = sorted(
    [Path("README.md"), Path("CONTRIBUTING.md"), Path("CHANGELOG.md"), *Path("docs").rglob("*.md")]
)


def test_architecture_shows_the_state_table_as_it_is() -> None:
    shown = re.search(r"```mermaid\n(.*?)```", Path("docs/ARCHITECTURE.md").read_text(), re.DOTALL)

    assert shown is not None
    assert shown[1] == diagram()


def test_settings_page_names_every_key_and_no_other() -> None:
    page = Path("docs/settings.md").read_text()
    rows = re.findall(r"^\| (`.*?`) \|", page, re.MULTILINE)
    documented = {name for row in rows for name in re.findall(r"\w+", row)}

    assert documented == {
        field
        for part in (settings.SystemSettings, settings.QueueSettings, settings.Route)
        for field in part.__dataclass_fields__
    }


@pytest.mark.parametrize("document", DOCUMENTS, ids=str)
def test_links_lead_somewhere(document: Path) -> None:
    targets = re.findall(r"\]\(([^)#]+)\)", document.read_text())

    missing = [
        target
        for target in targets
        if "://" not in target and not (document.parent / target).exists()
    ]

    assert not missing
