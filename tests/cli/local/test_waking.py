"""Submitted jobs wake the workers of `remotejob local` at once."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import cast

import pytest

from remotejob.cli.local.waking import Waking
from remotejob.local.services import Services
from remotejob.testing import FakeClock


class Lanes:
    """The visible messages, and how often they were asked for."""

    def __init__(self) -> None:
        self.visible: dict[str, int] = {}
        self.looks = 0

    def messages(self) -> Mapping[str, int]:
        self.looks += 1
        return self.visible


@pytest.fixture
def lanes() -> Lanes:
    return Lanes()


@pytest.fixture
def asked() -> list[list[str]]:
    return []


@pytest.fixture
def waking(lanes: Lanes, asked: list[list[str]], clock: FakeClock) -> Waking:
    return Waking(
        cast("Services", lanes),
        {"thumbs": ["thumbs-high", "thumbs-low"], "scans": ["scans-high"]},
        ask=asked.append,
        clock=clock.monotonic,
    )


def test_queue_with_a_message_and_no_worker_is_scaled(
    waking: Waking, lanes: Lanes, asked: list[list[str]]
) -> None:
    lanes.visible = {"thumbs-low": 1, "scans-high": 0, "uploads": 5}
    waking.check(working=())

    assert asked == [["thumbs"]]


def test_queue_with_a_worker_is_left_to_the_scheduler(
    waking: Waking, lanes: Lanes, asked: list[list[str]]
) -> None:
    lanes.visible = {"thumbs-low": 1}
    waking.check(working=["thumbs"])
    waking.check(working=["thumbs", "scans"])

    assert asked == []


def test_it_looks_once_a_second_and_asks_again_after_five(
    waking: Waking, lanes: Lanes, asked: list[list[str]], clock: FakeClock
) -> None:
    lanes.visible = {"thumbs-low": 1}
    for _ in range(40):
        waking.check(working=())
        clock.advance(timedelta(milliseconds=250))

    assert lanes.looks == 10
    assert asked == [["thumbs"]] * 2
