"""A new job wakes a queue that may sleep, and a busy queue costs no request."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import Any

import pytest

from remotejob.functions import nudge, on_upload
from remotejob.functions.nudge import APART, Nudge
from remotejob.names import Env
from remotejob.ports import Installation
from remotejob.testing import FakeClock
from tests.functions.conftest import Upload, changed, event

IDLE = timedelta(minutes=5)
Calls = list[dict[str, Any]]


class _Lambda:
    """Lambda's API, which notes what it is asked for."""

    def __init__(self) -> None:
        self.calls: Calls = []
        self.fails = False

    def invoke(self, **request: Any) -> None:
        if self.fails:
            raise ConnectionError("no answer")
        self.calls.append({**request, "Payload": json.loads(request["Payload"])})


@pytest.fixture
def lambda_(monkeypatch: pytest.MonkeyPatch) -> _Lambda:
    made = _Lambda()
    monkeypatch.setattr(nudge, "new_client", lambda: made)
    monkeypatch.setenv(Env.SCHEDULER, "the-scheduler")
    return made


@pytest.fixture
def waker(clock: FakeClock) -> Nudge:
    return Nudge({"a": IDLE, "b": IDLE}, clock=clock)


def test_the_first_job_wakes_its_queue_and_the_next_ones_ask_nothing(
    lambda_: _Lambda, waker: Nudge, clock: FakeClock
) -> None:
    assert waker.served(["a", "a"]) == ("a",)
    for _ in range(100):
        clock.advance(IDLE - timedelta(seconds=1))
        assert waker.served(["a"]) == ()
    assert lambda_.calls == [
        {
            "FunctionName": "the-scheduler",
            "InvocationType": "Event",
            "Payload": {"do": "scale", "queues": ["a"]},
        }
    ]


def test_a_queue_that_was_idle_may_sleep_again(
    lambda_: _Lambda, waker: Nudge, clock: FakeClock
) -> None:
    waker.served(["a"])
    clock.advance(IDLE)
    assert waker.served(["a"]) == ("a",)
    assert len(lambda_.calls) == 2


def test_nudges_are_some_seconds_apart_and_none_is_forgotten(
    lambda_: _Lambda, waker: Nudge, clock: FakeClock
) -> None:
    assert waker.served(["a"]) == ("a",)
    assert waker.served(["b"]) == ()
    clock.advance(APART)
    assert waker.served(["b"]) == ("b",)


def test_a_queue_without_workers_here_is_not_woken(lambda_: _Lambda, waker: Nudge) -> None:
    assert waker.served(["elsewhere"]) == ()
    assert lambda_.calls == []


def test_without_a_scheduler_nobody_is_asked(
    lambda_: _Lambda, waker: Nudge, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv(Env.SCHEDULER)
    assert waker.served(["a"]) == ()
    assert lambda_.calls == []


def test_a_nudge_that_fails_fails_no_upload(
    lambda_: _Lambda, upload: Upload, installation: Installation, caplog: pytest.LogCaptureFixture
) -> None:
    lambda_.fails = True
    assert upload(event("s3_put")) == {"batchItemFailures": []}
    assert "the scheduler was not woken: ConnectionError: no answer" in caplog.text


def test_an_upload_wakes_its_queue_once(
    lambda_: _Lambda, upload: Upload, installation: Installation
) -> None:
    for number in range(3):
        upload(changed("eventbridge_object_created", key=f"any/{number}"))
    assert [call["Payload"]["queues"] for call in lambda_.calls] == [["default"]]


def test_an_upload_without_a_job_wakes_nobody(
    lambda_: _Lambda, upload: Upload, installation: Installation
) -> None:
    upload(changed("eventbridge_object_created", key="nowhere/a"))
    upload("no event")
    assert lambda_.calls == []
    assert on_upload._set_up()[0].queues["default"].idle_minutes == 5
