"""What waiting to be alone costs a worker: never its intake for good."""

from __future__ import annotations

import threading
from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob import RemoteJob
from remotejob.domain.priority import Lane
from remotejob.ports import Address, Channel, Received
from remotejob.worker.lifecycle.alone import Alone
from remotejob.worker.lifecycle.company import Company
from remotejob.worker.lifecycle.polling import Polling
from tests.systems import installation_in_real_time

QUEUES = {"default": ("work",)}


def message() -> Received:
    return Received(
        address=Address("default", Channel.NORMAL), body="{}", receipt="r", receives=1, sent_ms=0
    )


def test_after_waiting_in_vain_a_worker_serves_others_before_it_waits_again() -> None:
    made = replace(installation_in_real_time(queues=QUEUES), lease=timedelta(milliseconds=60))
    RemoteJob(made).queue().submit("work")
    (received,) = made.messages.receive(
        Address("default", Channel.NORMAL),
        limit=1,
        wait=timedelta(0),
        hidden=timedelta(minutes=1),
    )
    company = Company()
    given_back: list[bool] = []
    alone = Alone(made, company, Polling(concurrency=2), give_back=lambda: given_back.append(True))
    with company.together(), company.together():
        for _ in range(3):
            with alone.with_nothing_beside(received) as is_alone:
                assert not is_alone

    assert given_back == [True], "its intake was closed once"


def test_a_failure_to_give_back_closes_no_lane() -> None:
    def no_thread() -> None:
        raise RuntimeError("can't start new thread")

    made = installation_in_real_time(queues=QUEUES)
    polling = Polling(concurrency=1)
    alone = Alone(made, Company(), polling, give_back=no_thread)
    with (
        pytest.raises(RuntimeError, match="new thread"),
        alone.with_nothing_beside(message()),
    ):
        pass

    # a lane that is closed for good would wait for ever
    given_up = threading.Timer(10, polling.close)
    given_up.start()
    turn = polling.turn(Lane.NORMAL)
    given_up.cancel()
    assert turn is not None
    assert turn.limit > 0
