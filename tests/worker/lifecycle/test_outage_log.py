"""What is said of failures: the first, ever fewer, and their end."""

from __future__ import annotations

import logging
from datetime import timedelta
from typing import Any

import pytest
from botocore.exceptions import ClientError

from remotejob.outages import OutageLog, is_outage, pause_after
from remotejob.testing import FakeClock

SECOND = timedelta(seconds=1)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def outages(clock: FakeClock, caplog: pytest.LogCaptureFixture) -> OutageLog:
    caplog.set_level(logging.INFO)
    return OutageLog(clock)


def test_long_outage_is_logged_at_first_then_rarely_and_when_it_is_over(
    outages: OutageLog, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    said_at: list[float] = []
    for _ in range(3600):
        lines = len(caplog.records)
        outages.failed("extend a lease", ConnectionError("no route"), job="j1")
        if len(caplog.records) > lines:
            said_at.append(clock.monotonic())
        clock.advance(SECOND)
    assert said_at[:6] == [0, 15, 45, 105, 225, 465]
    assert len(said_at) < 15
    first = caplog.records[0]
    assert first.message == "cannot extend a lease (1 in a row): ConnectionError: no route"
    assert vars(first)["job"] == "j1"

    outages.over("extend a lease")
    outages.over("extend a lease")
    ends = [line for line in caplog.records if line.levelno == logging.INFO]
    assert [line.message for line in ends] == [
        "can extend a lease again, after 3600 failures in 3600 s"
    ]


def test_what_fails_and_works_in_turns_makes_no_storm(
    outages: OutageLog, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(1000):
        assert outages.failed("see to a message", ValueError("odd")) == 1
        outages.over("see to a message")
        clock.advance(SECOND)
    assert 2 <= len(caplog.records) <= 20


def test_each_failing_request_is_logged_separately(
    outages: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    outages.failed("receive", OSError("no"))
    assert outages.failed("claim", OSError("no")) == 1
    assert outages.failed("receive", OSError("no")) == 2
    outages.over("claim")
    assert [line.message.split(" (")[0].split(",")[0] for line in caplog.records] == [
        "cannot receive",
        "cannot claim",
        "can claim again",
    ]
    assert outages.failed("receive", OSError("no")) == 3


def test_failure_long_after_the_last_is_news(
    outages: OutageLog, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    for _ in range(3):
        outages.failed("claim", OSError("no"))
        outages.over("claim")
        clock.advance(timedelta(minutes=11))
    assert len(caplog.records) == 6


def test_what_never_failed_is_never_over(
    outages: OutageLog, caplog: pytest.LogCaptureFixture
) -> None:
    outages.over("claim")
    assert caplog.records == []


def test_pauses_grow_to_an_end_and_differ() -> None:
    for failures, longest in ((1, 0.5), (2, 1.0), (3, 2.0), (10, 30.0), (100_000, 30.0)):
        pauses = [pause_after(failures, first=0.5, longest=30.0) for _ in range(50)]
        assert all(longest / 2 <= pause <= longest for pause in pauses)
        assert len(set(pauses)) > 40, "workers that failed together do not come back together"


@pytest.mark.parametrize("code", ["KMS.ThrottlingException", "KmsThrottled"])
def test_a_key_that_is_throttled_is_waited_for_and_a_denied_one_is_not(code: str) -> None:
    def refused(code: str) -> ClientError:
        said: Any = {"Error": {"Code": code}, "ResponseMetadata": {"HTTPStatusCode": 400}}
        return ClientError(said, "PutObject")

    assert is_outage(refused(code))
    assert not is_outage(refused("KMS.DisabledException"))
