"""The documentation says what is true."""

from __future__ import annotations

import re
import tomllib
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
        for part in (
            settings.SystemSettings,
            settings.QueueSettings,
            settings.Route,
            settings.NetworkSettings,
        )
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


@pytest.mark.parametrize("page", ["secrets", "several-queues", "big-machines"])
def test_the_settings_of_a_how_to_page_are_valid(page: str) -> None:
    text = Path(f"docs/how-to/{page}.md").read_text()
    blocks = re.findall(r"^ *```toml\n(.*?)^ *```$", text, re.DOTALL | re.MULTILINE)
    shown = [tomllib.loads(block) for block in blocks]

    read = [settings.parse(document) for document in shown if "queues" in document]
    assert read


def test_the_page_of_big_machines_has_the_sizes_of_fargate() -> None:
    text = Path("docs/how-to/big-machines.md").read_text()
    rows = re.findall(
        r"^\| (\d+) \| ([\d.]+) \| (\d+)[^|]*?(\d+)(?:, in steps of (\d+))? \|$", text, re.MULTILINE
    )

    assert {int(cpu) for cpu, *_ in rows} == set(settings.FARGATE_MEMORY_MIB)
    for cpu, vcpus, least, most, step in rows:
        offered = settings.FARGATE_MEMORY_MIB[int(cpu)]
        assert float(vcpus) == int(cpu) / 1024
        assert (int(least), int(most)) == (offered[0], offered[-1])
        assert not step or int(step) == offered[1] - offered[0]
