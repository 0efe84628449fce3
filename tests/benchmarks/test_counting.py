"""What a job causes is counted for it, and what no job causes apart."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from benchmarks.bench import RECEIVE, Bench, Counted, split
from remotejob.local.embedded import EmbeddedAws
from tests.end_to_end.waiting import until

ME = "administrator"
SIGN = ("dynamodb", "PutItem")


def test_receives_without_messages_are_idle_polls_and_the_others_are_caused_by_jobs() -> None:
    sent = Counter({RECEIVE: 10, ("sqs", "SendMessage"): 4})

    assert split(sent, receives_with_messages=7) == Counted(
        requests=Counter({RECEIVE: 7, ("sqs", "SendMessage"): 4}), idle_polls=3
    )


def test_signs_of_life_are_caused_by_no_job() -> None:
    sent = Counter({SIGN: 2, ("dynamodb", "UpdateItem"): 20})

    assert split(sent, receives_with_messages=0, sign_of_life=SIGN) == Counted(
        requests=Counter({("dynamodb", "UpdateItem"): 20}), signs_of_life=2
    )
    assert split(sent, receives_with_messages=0).requests == sent, "others give none"


def test_nothing_sent_is_nothing_counted() -> None:
    assert split(Counter(), receives_with_messages=0) == Counted(requests=Counter())


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EmbeddedAws]:
    with EmbeddedAws(state=tmp_path_factory.mktemp("state")) as embedded:
        yield embedded


@pytest.fixture
def bench(aws: EmbeddedAws) -> Bench:
    made = Bench()
    made.aws = aws
    return made


def test_what_jobs_caused_does_not_depend_on_how_long_empty_lanes_were_polled(
    bench: Bench, tmp_path: Path
) -> None:
    sqs = bench.aws.client("sqs")
    lanes = [bench.queue(f"{tmp_path.name}-{lane}", visibility_s=60) for lane in ("full", "empty")]

    def works(*, polls: int) -> Counted:
        bench.reset()
        for _ in range(3):
            sqs.send_message(QueueUrl=lanes[0], MessageBody="job")
            (message,) = sqs.receive_message(QueueUrl=lanes[0])["Messages"]
            sqs.delete_message(QueueUrl=lanes[0], ReceiptHandle=message["ReceiptHandle"])
        for _ in range(polls):
            sqs.receive_message(QueueUrl=lanes[1])
        return bench.counted(ME)

    quick, slow = works(polls=1), works(polls=8)

    assert quick.requests == slow.requests
    assert quick.requests == Counter(
        {RECEIVE: 3, ("sqs", "SendMessage"): 3, ("sqs", "DeleteMessage"): 3}
    )
    assert (quick.idle_polls, slow.idle_polls) == (1, 8)


def test_open_poll_is_idle_until_it_brings_a_message(bench: Bench, tmp_path: Path) -> None:
    lane = bench.queue(f"{tmp_path.name}-open", visibility_s=60)
    polling, sending = bench.aws.client("sqs"), bench.aws.client("sqs")
    bench.reset()
    poll = threading.Thread(
        target=polling.receive_message, kwargs={"QueueUrl": lane, "WaitTimeSeconds": 20}
    )
    poll.start()
    until(lambda: bench.requests(ME)[RECEIVE] == 1, what="the poll")
    still_open = bench.counted(ME)

    sending.send_message(QueueUrl=lane, MessageBody="job")
    poll.join()

    assert (still_open.requests[RECEIVE], still_open.idle_polls) == (0, 1)
    answered = bench.counted(ME)
    assert (answered.requests[RECEIVE], answered.idle_polls) == (1, 0)
