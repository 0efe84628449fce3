"""Two queues of one system, deployed from the real stacks, with somebody of each role."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from remotejob.local.embedded import EmbeddedAws
from tests.deployed import deployed
from tests.walls.requests import FILES, Names, Role, names_of, roles_of


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Let one process run what is here: the system is shared."""
    here = Path(__file__).parent
    for item in items:
        if here in item.path.parents:
            item.add_marker(pytest.mark.xdist_group("the walls"))


@pytest.fixture(scope="session")
def aws() -> Iterator[EmbeddedAws]:
    with deployed(Path(__file__).with_name("remotejob.toml")) as embedded:
        yield embedded


@pytest.fixture(scope="session")
def names(aws: EmbeddedAws) -> Names:
    found = names_of(aws)
    for area, key in FILES.values():
        aws.client("s3").put_object(Bucket=getattr(found, area), Key=key, Body=b"content")
    return found


@pytest.fixture(scope="session")
def roles(aws: EmbeddedAws) -> dict[str, Role]:
    return roles_of(aws)
