"""Hand-made requests of every role are allowed and refused as docs/permissions.md says."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator, Mapping
from functools import cache
from itertools import islice
from pathlib import Path
from typing import TypeVar

import pytest

from remotejob.names import Partition
from tests.walls import requests
from tests.walls.requests import (
    FILES,
    ITEMS,
    NOBODY,
    OTHERS,
    POWERLESS,
    QUEUES,
    ROLES,
    Names,
    Request,
    Role,
    actions_in,
    batch_writes,
    file_calls,
    item_calls,
    queue_calls,
)

Case = TypeVar("Case")

PAGE = Path(__file__).resolve().parents[2] / "docs/permissions.md"
SERVICES_OWN = frozenset(
    {
        # of a function, by Lambda, and of a container, by its agent
        "logs:CreateLogStream",
        "logs:PutLogEvents",
        # by the agent that starts a container
        "ecr:GetAuthorizationToken",
        "ecr:BatchCheckLayerAvailability",
        "ecr:GetDownloadUrlForLayer",
        "ecr:BatchGetImage",
    }
)
"""Actions on what is no part of the system's data: pulling its image, writing its log."""


@cache
def table(first: str) -> dict[str, dict[str, str]]:
    """The table of the page whose first column has this name: the letters by row and role."""
    text = PAGE.read_text(encoding="utf-8")
    rows = re.search(rf"^\| {first} \|.*\n\|[-:|]+\|\n((?:\|.*\n)+)", text, re.MULTILINE)
    assert rows is not None, f"the page has no table of each {first}"
    found = {}
    for line in rows[1].splitlines():
        name, *cells = (cell.strip() for cell in line.strip("|").split("|"))
        found[name] = dict(zip(ROLES, cells, strict=True))
    return found


SHARES = 3
share = pytest.mark.parametrize(
    "share",
    [0, *(pytest.param(rest, marks=pytest.mark.exhaustive) for rest in range(1, SHARES))],
)
"""Each share of a row's cases is every third of them, and each row begins at another one."""


def of_share(cases: Iterable[Case], share: int, row: str) -> Iterator[Case]:
    return islice(cases, (share + len(row)) % SHARES, None, SHARES)


def compare(
    first: str,
    row: str,
    calls: Mapping[str, list[Request]],
    roles: Mapping[str, Role],
    names: Names,
    share: int,
) -> None:
    """Try a share of the calls of a row with every role."""
    expected = table(first)[row]
    for number, (letter, tried) in enumerate(calls.items()):
        for name in of_share((*ROLES, *POWERLESS), share + number, row):
            shown = expected.get(name, "")
            # who may put may do so within a transaction, too
            allowed = letter in shown or (letter == "t" and "p" in shown)
            for request in tried:
                said = roles[name].may(request, names)
                assert said is allowed, f"{name}: {letter} of {row}: {'yes' if said else 'no'}"


@share
@pytest.mark.parametrize("row", ITEMS)
def test_a_role_reads_and_writes_the_items_of_its_row(
    row: str, share: int, roles: dict[str, Role], names: Names
) -> None:
    compare("item", row, item_calls(ITEMS[row]), roles, names, share)


@share
@pytest.mark.parametrize("row", QUEUES)
def test_a_role_sends_and_receives_as_its_row_says(
    row: str, share: int, roles: dict[str, Role], names: Names
) -> None:
    compare("queue", row, queue_calls(QUEUES[row]), roles, names, share)


@share
@pytest.mark.parametrize("row", FILES)
def test_a_role_reads_and_writes_the_files_of_its_row(
    row: str, share: int, roles: dict[str, Role], names: Names
) -> None:
    compare("file", row, file_calls(*FILES[row]), roles, names, share)


@share
@pytest.mark.parametrize("row", OTHERS)
def test_a_role_makes_the_other_calls_of_its_row(
    row: str, share: int, roles: dict[str, Role], names: Names
) -> None:
    for name in of_share((*ROLES, *POWERLESS), share, row):
        allowed = table("call")[row].get(name, "") == "✓"
        assert roles[name].may(OTHERS[row], names) is allowed, name


@share
@pytest.mark.parametrize("what", NOBODY)
def test_nobody_may(what: str, share: int, roles: dict[str, Role], names: Names) -> None:
    tried = of_share((*ROLES, *POWERLESS), share, what)
    assert [name for name in tried if roles[name].may(NOBODY[what], names)] == []


@pytest.mark.parametrize("row", ["new record", "edge", "lock of a resource", "sweep's progress"])
def test_nobody_writes_without_conditions(row: str, roles: dict[str, Role], names: Names) -> None:
    for request in batch_writes(ITEMS[row]):
        assert [name for name, role in roles.items() if role.may(request, names)] == []


def test_workers_of_another_queue_have_the_same_walls(roles: dict[str, Role]) -> None:
    """What is tried for the one holds for the other: but for routes, they differ in names alone."""

    def plain(queue: str) -> list[str]:
        written = json.dumps(roles[f"workers of {queue}"].policies)
        unique = re.sub(r"[0-9A-F]{8}-[0-9A-Z]{12}", "", written)
        routed = re.sub(r'"[^"]*/(photos|scans|archive)/\*"', "", unique)
        return sorted(re.findall(r'"[^"]+"', routed.replace(queue, "QUEUE")))

    assert plain("ours") == plain("theirs")
    assert not [text for text in plain("ours") if "theirs" in text]


def test_every_kind_of_item_has_its_row_and_there_is_no_other() -> None:
    """A new kind of item is refused to all until its row says otherwise."""
    tried = {kind.partition for kind in ITEMS.values()}
    for partition in Partition:
        assert any(one.startswith(partition) for one in tried), f"no row for {partition!r}"
    assert list(table("item")) == list(ITEMS)
    assert list(table("queue")) == list(QUEUES)
    assert list(table("file")) == list(FILES)
    assert list(table("call")) == list(OTHERS)


def test_no_kind_of_item_begins_like_another() -> None:
    for one in Partition:
        assert [other for other in Partition if other.startswith(one)] == [one]


def test_every_action_of_every_policy_is_tried(roles: dict[str, Role]) -> None:
    tried = {
        *requests.ITEM_ACTIONS.values(),
        *requests.QUEUE_ACTIONS.values(),
        *requests.FILE_ACTIONS.values(),
        *requests.OTHER_ACTIONS,
    }
    for name, role in roles.items():
        assert actions_in(role.policies) - SERVICES_OWN <= tried, name


def test_every_write_of_an_item_names_its_kinds(roles: dict[str, Role]) -> None:
    """No statement but those of admins writes to whatever kind of item there may be."""
    writes = {"dynamodb:PutItem", "dynamodb:UpdateItem", "dynamodb:DeleteItem"}
    beginnings = tuple(one.removesuffix("*") for kind in Partition for one in kind.patterns)
    for name, role in roles.items():
        for statement in (one for policy in role.policies for one in policy["Statement"]):
            if name != "admin" and actions_in([{"Statement": [statement]}]) & writes:
                keys = statement["Condition"]["ForAllValues:StringLike"]["dynamodb:LeadingKeys"]
                kinds = [keys] if isinstance(keys, str) else keys
                assert all(one.startswith(beginnings) for one in kinds), name
                assert statement["Condition"]["Null"]["dynamodb:LeadingKeys"] == "false", name
