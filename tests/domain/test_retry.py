"""The retry policy: when, how often, until when."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from hypothesis import given
from hypothesis import strategies as st

from remotejob import Backoff, InvalidData, Retry

NOW = datetime(2026, 1, 15, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
MILLISECOND = timedelta(milliseconds=1)

POLICIES = st.builds(
    Retry,
    max_attempts=st.none() | st.integers(1, 10**6),
    wait=st.integers(0, 365 * 86_400_000).map(lambda ms: ms * MILLISECOND),
    backoff=st.sampled_from(Backoff),
    until=st.none()
    | st.integers(0, 10**13).map(lambda ms: datetime(1970, 1, 1, tzinfo=UTC) + ms * MILLISECOND),
)


def test_a_job_runs_once_by_default() -> None:
    assert Retry().next_run(failures=1, now=NOW) is None


def test_the_first_run_counts_as_an_attempt() -> None:
    retry = Retry(max_attempts=3, wait=MINUTE)
    again = [retry.next_run(failures=number, now=NOW) for number in (1, 2, 3, 4)]
    assert again == [NOW + MINUTE, NOW + MINUTE, None, None]


def test_a_constant_wait_is_the_same_each_time() -> None:
    retry = Retry(max_attempts=9, wait=MINUTE)
    assert [retry.next_run(failures=n, now=NOW) for n in (1, 2, 8)] == [NOW + MINUTE] * 3


def test_an_exponential_wait_doubles() -> None:
    retry = Retry(max_attempts=9, wait=MINUTE, backoff=Backoff.EXPONENTIAL)
    waits = [retry.next_run(failures=n, now=NOW) for n in (1, 2, 3, 4)]
    assert waits == [NOW + MINUTE * factor for factor in (1, 2, 4, 8)]


def test_an_exponential_wait_stops_growing_at_a_year() -> None:
    retry = Retry(max_attempts=10**9, wait=MINUTE, backoff=Backoff.EXPONENTIAL)
    for failures in (30, 100, 10**8):
        assert retry.next_run(failures=failures, now=NOW) == NOW + timedelta(days=365)


def test_no_wait_stays_no_wait_however_often() -> None:
    retry = Retry(max_attempts=10**9, wait=timedelta(0), backoff=Backoff.EXPONENTIAL)
    assert retry.next_run(failures=10**6, now=NOW) == NOW


def test_no_run_begins_after_until() -> None:
    retry = Retry(max_attempts=9, wait=MINUTE, until=NOW + MINUTE)
    assert retry.next_run(failures=1, now=NOW) == NOW + MINUTE
    assert retry.next_run(failures=1, now=NOW + MILLISECOND) is None


@pytest.mark.parametrize(
    ("options", "value"),
    [
        ({"max_attempts": 0}, "max_attempts=0"),
        ({"max_attempts": -1}, "max_attempts=-1"),
        ({"wait": -MILLISECOND}, "wait="),
        ({"wait": timedelta(days=366)}, "wait="),
        ({"until": NOW.replace(tzinfo=None)}, "until="),
    ],
)
def test_a_policy_that_makes_no_sense_is_refused(options: dict[str, object], value: str) -> None:
    with pytest.raises(InvalidData, match=value):
        Retry(**options)  # type: ignore[arg-type]


@given(POLICIES)
def test_a_policy_comes_back_from_json(retry: Retry) -> None:
    assert Retry.from_json(retry.to_json()) == retry


def test_until_in_another_time_zone_comes_back_as_the_same_moment() -> None:
    retry = Retry(until=NOW.astimezone(timezone(timedelta(hours=5))))
    assert Retry.from_json(retry.to_json()).until == NOW


def test_the_default_policy_takes_no_room() -> None:
    assert Retry().to_json() == "{}"


@given(POLICIES, st.integers(1, 10**7))
def test_a_next_run_is_never_in_the_past_nor_after_until(retry: Retry, failures: int) -> None:
    at = retry.next_run(failures=failures, now=NOW)
    if at is None:
        return
    assert retry.max_attempts is None or failures < retry.max_attempts
    assert NOW <= at <= NOW + timedelta(days=365)
    assert retry.until is None or at <= retry.until
