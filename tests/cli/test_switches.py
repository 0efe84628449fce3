"""`stop` and `start` of queues."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from remotejob import InvalidData, RemoteJob, UnknownQueue
from remotejob.ports import Installation
from remotejob.testing import FakeClock, memory_installation
from tests.cli.conftest import Run


@pytest.fixture
def installation(clock: FakeClock) -> Installation:
    queues = {"default": ("work",), "other": ("work",)}
    return replace(memory_installation(clock, queues=queues), actor="ana@laptop")


def stopped(installation: Installation) -> list[str]:
    return [one.queue for one in RemoteJob(installation).stopped()]


def test_the_named_queues_are_stopped_and_started(run: Run, installation: Installation) -> None:
    said = run("stop", "other", "other").stdout
    [since] = RemoteJob(installation).stopped()
    assert said == f"stopped other, since {since.since:%Y-%m-%d %H:%M:%S} UTC by ana@laptop\n"
    assert stopped(installation) == ["other"]

    assert run("start", "other").stdout == "started other\n"
    assert stopped(installation) == []


def test_all_of_them_and_as_json(run: Run, installation: Installation) -> None:
    assert [one["by"] for one in json.loads(run("stop", "--all", "--json").stdout)] == [
        "ana@laptop",
        "ana@laptop",
    ]
    assert stopped(installation) == ["default", "other"]
    assert json.loads(run("start", "--all", "--json").stdout) == ["default", "other"]
    assert stopped(installation) == []


@pytest.mark.parametrize("command", ["stop", "start"])
def test_none_is_turned_if_one_is_unknown_or_it_is_not_said_which(
    run: Run, installation: Installation, command: str
) -> None:
    if command == "start":
        run("stop", "--all")
    before = stopped(installation)
    for arguments in ([], ["default", "--all"]):
        with pytest.raises(InvalidData, match="give either names of queues or --all"):
            run(command, *arguments)
    with pytest.raises(UnknownQueue):
        run(command, "default", "nonsense")
    assert stopped(installation) == before
