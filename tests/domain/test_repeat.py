"""Repeats as data: what is refused, and how they are stored."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob.domain.errors import InvalidData
from remotejob.domain.repeat import FOREVER, FOREVER_DATE, OnFailure, Repeat

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
MILLISECOND = timedelta(milliseconds=1)

TIMES = st.none() | st.integers(0, 10**6)
UNTIL = st.none() | st.integers(0, 10**13).map(
    lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + ms * MILLISECOND
)
REPEATS = st.builds(
    Repeat,
    times=TIMES,
    until=UNTIL,
    wait=st.integers(1000, 365 * 86_400_000).map(lambda ms: ms * MILLISECOND),
) | st.builds(
    Repeat,
    times=TIMES,
    until=UNTIL,
    schedule=st.sampled_from(["*/5 * * * *", "every day at 09:30", "jeden März"]),
    time_zone=st.sampled_from(["UTC", "Europe/Berlin"]),
)


def test_by_default_a_job_repeats_for_ever_every_five_minutes() -> None:
    assert Repeat() == Repeat(times=FOREVER, until=FOREVER_DATE, wait=timedelta(minutes=5))


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"times": -1}, "times=-1"),
        ({"until": NOW.replace(tzinfo=None)}, "until="),
        ({"wait": timedelta(0)}, "wait="),
        ({"wait": timedelta(seconds=1) - MILLISECOND}, "wait="),
        ({"wait": timedelta(days=365) + MILLISECOND}, "wait="),
        ({"time_zone": "Europe/Berlin"}, "time_zone='Europe/Berlin'.*leave it out"),
        ({"schedule": "* " * 101}, "schedule=.*200"),
        ({"schedule": "* * * * *", "time_zone": "x" * 201}, "time_zone=.*200"),
    ],
)
def test_a_repeat_that_makes_no_sense_is_refused(options: dict[str, object], value: str) -> None:
    with pytest.raises(InvalidData, match=value):
        Repeat(**options)  # type: ignore[arg-type]


def test_a_wait_and_a_schedule_exclude_one_another() -> None:
    with pytest.raises(InvalidData, match="only one of them"):
        Repeat(wait=timedelta(minutes=1), schedule="* * * * *")


@given(REPEATS)
def test_a_repeat_comes_back_from_json(repeat: Repeat) -> None:
    assert Repeat.from_json(repeat.to_json()) == repeat


def test_until_in_another_time_zone_comes_back_as_the_same_moment() -> None:
    repeat = Repeat(until=NOW.astimezone(timezone(timedelta(hours=5))))
    assert Repeat.from_json(repeat.to_json()).until == NOW


def test_what_is_left_at_its_default_takes_no_room() -> None:
    assert Repeat().to_json() == "{}"
    assert Repeat(times=3).to_json() == '{"n":3}'


@pytest.mark.parametrize(
    ("repeat", "said"),
    [
        (Repeat(), "0:05:00 after each run"),
        (Repeat(schedule="every 15 minutes", times=2), "every 15 minutes, 2 times more"),
        (
            Repeat(
                schedule="0 9 * * *",
                time_zone="Europe/Berlin",
                until=datetime(2026, 5, 1, tzinfo=UTC),
            ),
            "0 9 * * * (Europe/Berlin), until 2026-05-01 00:00 UTC",
        ),
        (Repeat(on_failure="stop"), "0:05:00 after each run, stops on failure"),
    ],
)
def test_repeat_says_what_it_is(repeat: Repeat, said: str) -> None:
    assert str(repeat) == said


@pytest.mark.parametrize("option", ["", "Stop", True, None, ["stop"], "x" * 5000])
def test_what_to_do_after_a_failure_is_one_of_two(option: Any) -> None:
    with pytest.raises(InvalidData, match="on_failure=") as refusal:
        Repeat(on_failure=option)
    assert "use one of continue, stop" in str(refusal.value)
    assert len(str(refusal.value)) < 400


@pytest.mark.parametrize("option", get_args(OnFailure))
def test_what_to_do_after_a_failure_is_stored(option: OnFailure) -> None:
    repeat = Repeat(times=3, on_failure=option)
    assert Repeat.from_json(repeat.to_json()) == repeat
