"""Standard queues behave like those of SQS, and stay fast when they are long."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any

import pytest
from botocore.config import Config
from botocore.exceptions import ClientError, ReadTimeoutError

from remotejob.local.embedded import EmbeddedAws

MakeQueue = Callable[..., str]


@pytest.fixture
def sqs(aws: EmbeddedAws) -> Any:
    return aws.client("sqs")


def receive(sqs: Any, url: str, **options: Any) -> list[Any]:
    names = {"MessageSystemAttributeNames": ["All"], "MessageAttributeNames": ["All"]}
    answer = sqs.receive_message(QueueUrl=url, **names, **options)
    return list(answer.get("Messages", []))


@pytest.mark.exhaustive
def test_received_message_is_hidden_until_its_visibility_timeout(
    sqs: Any, make_queue: MakeQueue
) -> None:
    url = make_queue(VisibilityTimeout=1)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    [first] = receive(sqs, url)
    assert receive(sqs, url) == []
    [second] = receive(sqs, url, WaitTimeSeconds=5)
    assert second["MessageId"] == first["MessageId"]
    assert second["Attributes"]["ApproximateReceiveCount"] == "2"
    assert int(second["Attributes"]["SentTimestamp"]) <= time.time() * 1000


def test_visibility_changed_to_zero_shows_the_message_at_once(
    sqs: Any, make_queue: MakeQueue
) -> None:
    url = make_queue()
    sqs.send_message(QueueUrl=url, MessageBody="a")
    [message] = receive(sqs, url)
    handle = message["ReceiptHandle"]
    sqs.change_message_visibility(QueueUrl=url, ReceiptHandle=handle, VisibilityTimeout=0)
    assert [m["Body"] for m in receive(sqs, url)] == ["a"]


@pytest.mark.exhaustive
def test_extended_visibility_outlasts_the_first_timeout(sqs: Any, make_queue: MakeQueue) -> None:
    url = make_queue(VisibilityTimeout=60)
    for body in ("extended", "left"):
        sqs.send_message(QueueUrl=url, MessageBody=body)
    # the one that is left alone is received last, and is hidden the longer of the two
    extended, left = (m for _ in range(2) for m in receive(sqs, url, VisibilityTimeout=1))
    assert (extended["Body"], left["Body"]) == ("extended", "left")
    entry = {"Id": "1", "ReceiptHandle": extended["ReceiptHandle"], "VisibilityTimeout": 60}
    answer = sqs.change_message_visibility_batch(QueueUrl=url, Entries=[entry])
    assert [s["Id"] for s in answer["Successful"]] == ["1"]
    again = receive(sqs, url, MaxNumberOfMessages=10, WaitTimeSeconds=20)
    assert [m["Body"] for m in again] == ["left"]


def test_message_that_cannot_be_hidden_longer_fails_alone_of_its_batch(
    sqs: Any, make_queue: MakeQueue
) -> None:
    url = make_queue()
    for body in "ab":
        sqs.send_message(QueueUrl=url, MessageBody=body)
    handles = [message["ReceiptHandle"] for _ in "ab" for message in receive(sqs, url)]
    # some of the 12 hours since the receive are over
    entries = [
        {"Id": str(seconds), "ReceiptHandle": handle, "VisibilityTimeout": seconds}
        for handle, seconds in zip(handles, (43_200, 0), strict=True)
    ]
    answer = sqs.change_message_visibility_batch(QueueUrl=url, Entries=entries)
    assert [s["Id"] for s in answer["Successful"]] == ["0"]
    assert [(f["Id"], f["Code"]) for f in answer["Failed"]] == [("43200", "InvalidParameterValue")]
    assert len(receive(sqs, url)) == 1


def test_delayed_message_comes_no_sooner(sqs: Any, make_queue: MakeQueue) -> None:
    url = make_queue()
    sent = time.monotonic()
    sqs.send_message(QueueUrl=url, MessageBody="late", DelaySeconds=1)
    assert receive(sqs, url) == []
    [message] = receive(sqs, url, WaitTimeSeconds=5)
    assert message["Body"] == "late"
    assert time.monotonic() - sent > 0.9


def test_messages_of_a_group_are_received_side_by_side_and_tell_it(
    sqs: Any, make_queue: MakeQueue
) -> None:
    url = make_queue()
    sqs.send_message(QueueUrl=url, MessageBody="a", MessageGroupId="tenant")
    entries = [
        {"Id": "1", "MessageBody": "b", "MessageGroupId": "tenant"},
        {"Id": "2", "MessageBody": "c"},
    ]
    sqs.send_message_batch(QueueUrl=url, Entries=entries)

    messages = receive(sqs, url, MaxNumberOfMessages=10)
    groups = {m["Body"]: m["Attributes"].get("MessageGroupId") for m in messages}
    assert groups == {"a": "tenant", "b": "tenant", "c": None}


def test_message_goes_to_the_dead_letter_queue_after_its_receives(
    sqs: Any, make_queue: MakeQueue
) -> None:
    dead = make_queue()
    arn = sqs.get_queue_attributes(QueueUrl=dead, AttributeNames=["QueueArn"])["Attributes"]
    policy = f'{{"deadLetterTargetArn": "{arn["QueueArn"]}", "maxReceiveCount": 2}}'
    url = make_queue(VisibilityTimeout=0, RedrivePolicy=policy)
    sent = sqs.send_message(QueueUrl=url, MessageBody="poison")
    assert len(receive(sqs, url)) == 1
    assert len(receive(sqs, url)) == 1
    assert receive(sqs, url) == []
    [moved] = receive(sqs, dead)
    assert (moved["MessageId"], moved["Body"]) == (sent["MessageId"], "poison")


def test_stale_receipt_handle_does_not_delete_a_message_received_again(
    sqs: Any, make_queue: MakeQueue
) -> None:
    url = make_queue(VisibilityTimeout=0)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    [first] = receive(sqs, url)
    [second] = receive(sqs, url)
    sqs.delete_message(QueueUrl=url, ReceiptHandle=first["ReceiptHandle"])
    [third] = receive(sqs, url)
    assert third["MessageId"] == second["MessageId"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    sqs.delete_message(QueueUrl=url, ReceiptHandle=third["ReceiptHandle"])
    assert receive(sqs, url) == []


def test_unknown_receipt_handle_is_refused(sqs: Any, make_queue: MakeQueue) -> None:
    url = make_queue()
    with pytest.raises(ClientError) as refused:
        sqs.delete_message(QueueUrl=url, ReceiptHandle="nonsense")
    assert refused.value.response["Error"]["Code"] == "ReceiptHandleIsInvalid"


def test_batches_report_each_entry(sqs: Any, make_queue: MakeQueue) -> None:
    url = make_queue()
    entries = [{"Id": str(n), "MessageBody": f"m{n}"} for n in range(10)]
    assert len(sqs.send_message_batch(QueueUrl=url, Entries=entries)["Successful"]) == 10
    messages = receive(sqs, url, MaxNumberOfMessages=10)
    assert {m["Body"] for m in messages} == {f"m{n}" for n in range(10)}
    handles = [{"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)]
    answer = sqs.delete_message_batch(
        QueueUrl=url, Entries=[*handles, {"Id": "bad", "ReceiptHandle": "nonsense"}][1:]
    )
    assert len(answer["Successful"]) == 9
    assert [f["Id"] for f in answer["Failed"]] == ["bad"]


def test_long_poll_wakes_at_a_send(aws: EmbeddedAws, sqs: Any, make_queue: MakeQueue) -> None:
    url = make_queue()
    arrived: list[Any] = []
    waiting = threading.Thread(
        target=lambda: arrived.extend(receive(sqs, url, WaitTimeSeconds=20)), daemon=True
    )
    aws.reset_requests()
    waiting.start()
    while not any(operation == "ReceiveMessage" for _, operation, _ in aws.requests()):
        pass  # until the poll has reached the server
    sqs.send_message(QueueUrl=url, MessageBody="a")
    # one that does not wake would take its twenty seconds
    waiting.join(15)
    assert [message["Body"] for message in arrived] == ["a"]


def test_long_poll_wakes_when_a_message_comes_back_earlier(
    aws: EmbeddedAws, sqs: Any, make_queue: MakeQueue
) -> None:
    url = make_queue(VisibilityTimeout=600)
    sqs.send_message(QueueUrl=url, MessageBody="a")
    [message] = receive(sqs, url)
    arrived: list[Any] = []
    waiting = threading.Thread(
        target=lambda: arrived.extend(receive(sqs, url, WaitTimeSeconds=20)), daemon=True
    )
    aws.reset_requests()
    waiting.start()
    while not any(operation == "ReceiveMessage" for _, operation, _ in aws.requests()):
        pass  # until the poll has reached the server
    sqs.change_message_visibility(
        QueueUrl=url, ReceiptHandle=message["ReceiptHandle"], VisibilityTimeout=1
    )
    # one that does not wake would take its twenty seconds
    waiting.join(15)
    assert [message["Body"] for message in arrived] == ["a"]


def test_long_poll_of_a_caller_that_is_gone_takes_no_message(
    aws: EmbeddedAws, sqs: Any, make_queue: MakeQueue
) -> None:
    url = make_queue()
    hurried = aws.client("sqs", config=Config(read_timeout=0.5, retries={"total_max_attempts": 1}))
    with pytest.raises(ReadTimeoutError):
        receive(hurried, url, WaitTimeSeconds=20)
    hurried.close()
    sqs.send_message(QueueUrl=url, MessageBody="a")
    assert [message["Body"] for message in receive(sqs, url, WaitTimeSeconds=20)] == ["a"]


def test_long_polls_do_not_hold_up_other_queues(sqs: Any, make_queue: MakeQueue) -> None:
    idle, busy = make_queue(), make_queue()
    pollers = [
        threading.Thread(target=receive, args=(sqs, idle), kwargs={"WaitTimeSeconds": 20})
        for _ in range(5)
    ]
    for poller in pollers:
        poller.start()
    sqs.send_message(QueueUrl=busy, MessageBody="a")
    assert len(receive(sqs, busy)) == 1
    assert all(poller.is_alive() for poller in pollers), "they were waiting all the while"
    for _ in pollers:
        sqs.send_message(QueueUrl=idle, MessageBody="the end")
    for poller in pollers:
        poller.join()


def test_attributes_of_messages_come_back(sqs: Any, make_queue: MakeQueue) -> None:
    url = make_queue()
    attribute = {"DataType": "String", "StringValue": "ünïcode"}
    sqs.send_message(QueueUrl=url, MessageBody="a", MessageAttributes={"name": attribute})
    [message] = receive(sqs, url)
    assert message["MessageAttributes"] == {"name": attribute}


def test_counts_tell_ready_hidden_and_delayed_apart(sqs: Any, make_queue: MakeQueue) -> None:
    url = make_queue()
    for _ in range(3):
        sqs.send_message(QueueUrl=url, MessageBody="a")
    sqs.send_message(QueueUrl=url, MessageBody="b", DelaySeconds=60)
    receive(sqs, url)
    attributes = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["All"])["Attributes"]
    assert attributes["ApproximateNumberOfMessages"] == "2"
    assert attributes["ApproximateNumberOfMessagesNotVisible"] == "1"
    assert attributes["ApproximateNumberOfMessagesDelayed"] == "1"
    sqs.purge_queue(QueueUrl=url)
    assert receive(sqs, url) == []


@pytest.mark.parametrize("count", [1_000, pytest.param(10_000, marks=pytest.mark.exhaustive)])
def test_messages_of_a_long_queue_are_each_received_once(
    sqs: Any, make_queue: MakeQueue, count: int
) -> None:
    url = make_queue()
    for batch in range(count // 10):
        entries = [{"Id": str(n), "MessageBody": f"{batch}-{n}"} for n in range(10)]
        sqs.send_message_batch(QueueUrl=url, Entries=entries)
    seen: list[str] = []
    lock = threading.Lock()

    def consume() -> None:
        while messages := receive(sqs, url, MaxNumberOfMessages=10):
            entries = [
                {"Id": str(n), "ReceiptHandle": m["ReceiptHandle"]} for n, m in enumerate(messages)
            ]
            sqs.delete_message_batch(QueueUrl=url, Entries=entries)
            with lock:
                seen.extend(m["Body"] for m in messages)

    consumers = [threading.Thread(target=consume) for _ in range(4)]
    for consumer in consumers:
        consumer.start()
    for consumer in consumers:
        consumer.join()
    assert len(seen) == len(set(seen)) == count


def test_fifo_queue_keeps_its_order_within_a_group(aws: EmbeddedAws, sqs: Any) -> None:
    url = sqs.create_queue(QueueName="ordered.fifo", Attributes={"FifoQueue": "true"})["QueueUrl"]
    for n in range(3):
        sqs.send_message(
            QueueUrl=url, MessageBody=str(n), MessageGroupId="g", MessageDeduplicationId=str(n)
        )
    messages = receive(sqs, url, MaxNumberOfMessages=10)
    assert [m["Body"] for m in messages] == ["0", "1", "2"]
    sqs.delete_message(QueueUrl=url, ReceiptHandle=messages[0]["ReceiptHandle"])
