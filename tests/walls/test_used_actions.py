"""Each role uses every action that its policies allow, and its policies allow all that it uses.

The embedded AWS notes the actions that it lets through. Whatever a role used without its policy
would have been refused, and the jobs below would not have ended.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from remotejob import Job, RemoteJob, Repeat, Retry, State, Submission
from remotejob.domain.ids import new_job_id, partition_of, shard_of
from remotejob.jobs.messaging.messages import Pending
from remotejob.local.embedded import EmbeddedAws
from remotejob.names import UPLOAD_RECEIVES, Env, Partition, QueueKey
from tests.end_to_end.waiting import until
from tests.requests.recording_server import used_as
from tests.walls.requests import GROUPS, ROLES, Names, Role, actions_in, role_names
from tests.walls.tasks import LONG

PATIENCE: Final = 60.0
"""Seconds after which something is broken, on the slowest machine."""

LATER: Final = timedelta(hours=1)

NOT_SEEN: Final[dict[str, str]] = {
    "s3:AbortMultipartUpload": "only an upload in parts that breaks off is aborted",
    "s3:ListBucket": "S3 looks for it to say that a file is gone; nothing is listed",
    "ecs:UpdateTaskProtection": "the ECS agent calls it, and there is none here",
    "logs:CreateLogStream": "Lambda or the agent calls it, not the code",
    "logs:PutLogEvents": "Lambda or the agent calls it, not the code",
    "ecr:GetAuthorizationToken": "the agent pulls the image; there is none here",
    "ecr:BatchCheckLayerAvailability": "the agent pulls the image; there is none here",
    "ecr:GetDownloadUrlForLayer": "the agent pulls the image; there is none here",
    "ecr:BatchGetImage": "the agent pulls the image; there is none here",
    "sqs:ReceiveMessage": "of the upload function: Lambda polls on its behalf",
    "sqs:DeleteMessage": "of the upload function: Lambda polls on its behalf",
    "sqs:ChangeMessageVisibility": "of the upload function: Lambda polls on its behalf",
    "sqs:GetQueueAttributes": "of the upload function: Lambda polls on its behalf",
}
"""What cannot be used in the embedded AWS, or not without breaking it, and why."""

NOT_USED: Final[tuple[tuple[str, str, str, str], ...]] = (
    ("workers of ours", "dynamodb:PutItem", "spent#", "spending is written after 15 s of work"),
    ("workers of ours", "dynamodb:UpdateItem", "spent#", "spending is written after 15 s of work"),
    ("manager", "dynamodb:PutItem", "j_blocked", "only `Batch.retry` of a followed batch puts it"),
    ("uploads", "lambda:InvokeFunction", "", "it wakes the scheduler only where no worker runs"),
    ("uploads", "ssm:GetParametersByPath", "", "a function reads the queues when it starts"),
    ("scheduler", "ssm:GetParametersByPath", "", "a function reads the queues when it starts"),
    ("scheduler", "ecs:", "", "it scales where services obey their counts, as not here"),
    ("scheduler", "ssm:GetParameters", "", "it scales where services obey their counts"),
)
"""Statements of which the jobs below make no use: role, action, part of the statement, and why."""

POLLED: Final = frozenset(action for action in NOT_SEEN if action.startswith("sqs:"))


@pytest.mark.exhaustive
def test_used_actions_are_the_granted_ones(
    aws: EmbeddedAws,
    names: Names,
    roles: dict[str, Role],
    used_statements: Callable[[], set[str]],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name, value in aws.environment().items():
        monkeypatch.setenv(name, value)
    monkeypatch.delenv(Env.SYSTEM, raising=False)
    empty_queues(aws)
    aws.reset_requests()

    creator, manager, worker, admin = (
        RemoteJob.connect("walls", session=roles[name].session)
        for name in ("creator", "manager", "worker", "admin")
    )
    run_jobs(aws, names, creator)
    mend_what_was_cut_off(aws, names)
    fail_an_upload(aws)
    for by, hand, chief in ((creator, worker, manager), (admin, admin, admin)):
        send_what_nobody_reads(aws, names)
        work_by_hand(by, hand)
        read_and_remove_an_output(by, chief)
        manage(by, chief, aws)
    hear_of_an_end(admin)

    used: dict[str, set[str]] = {}
    for action, name in aws.accesses():
        used.setdefault(name, set()).add(action)
    dead: dict[str, list[str]] = {}
    physical = {**{name: name for name in GROUPS}, **role_names(aws)}
    for name in ROLES:
        unused = actions_in(roles[name].policies) - used.get(physical[name], set())
        excused = set(NOT_SEEN) - (POLLED if name != "uploads" else set())
        never = unused | (statements_in(roles[name].policies) - used_statements())
        dead[name] = [
            one
            for one in sorted(never)
            if action_of(one) not in excused and not is_listed(name, one)
        ]
    said = [f"{name} never uses {one}" for name, each in dead.items() for one in each]
    assert not said, "\n".join(said)


def action_of(noted: str) -> str:
    """The action of a statement, as its use is noted; or of itself."""
    return str(json.loads(noted)[0]) if noted.startswith("[") else noted


def is_listed(role: str, noted: str) -> bool:
    """Whether a statement or an action is one of `NOT_USED`."""
    return any(
        role == by and action_of(noted).startswith(action) and part in noted
        for by, action, part, _ in NOT_USED
    )


def statements_in(policies: list[Any]) -> set[str]:
    """Each action of each statement, as the embedded AWS notes its use."""
    return {
        used_as(statement, action)
        for policy in policies
        for statement in policy["Statement"]
        for action in actions_in([{"Statement": [statement]}])
    }


def run_jobs(aws: EmbeddedAws, names: Names, creator: RemoteJob) -> None:
    """What deployed workers do, in two queues that depend on each other."""
    ours, theirs = creator.queue("ours"), creator.queue("theirs")
    first = ours.submit("work", body=b"content", tenant="t", resource="r")
    near = [
        first,
        ours.submit("work", tenant="t", resource="r", depends=[first], expires=LATER, crashes=0),
        *(ours.submit("work", tenant="t", resource="r") for _ in range(3)),
        ours.submit("work", data=LONG, idempotency_key="once"),
        ours.submit("work", data="resume", retry=Retry(max_attempts=3, wait=timedelta(0))),
        ours.submit("work", repeat=Repeat(times=2)),
    ]
    failing = ours.submit("work", data="fail")
    far = theirs.submit("review", depends=[first], body=b"their own")
    in_vain = theirs.submit("review", depends=[failing])
    batch = ours.map("work", [1, 2], on_complete=Submission("summary", expires=LATER))
    key = ours.store({"body": b"content"})
    near.append(ours.trigger("pending", key, task="work"))
    (elsewhere,) = theirs.submit_many([Submission("review", input=first.input)])
    for prefix in ("photos", "scans"):
        aws.client("s3").put_object(Bucket=names.input, Key=f"{prefix}/a.jpg", Body=b"content")

    workers = [
        aws.start_worker(service.physical_id) for service in aws.deployment.all("AWS::ECS::Service")
    ]
    try:
        for job in (*near, failing):
            job.wait(PATIENCE)
        batch.wait(PATIENCE)
        assert [job.state for job in near] == [State.COMPLETED] * len(near)
        until(lambda: len(uploaded(creator)) == 2, what="a job of each upload")
        for job in uploaded(creator):
            assert job.wait(PATIENCE).state is State.COMPLETED
        elsewhere.wait(PATIENCE)
        assert elsewhere.result == len(b"content"), "its workers read their own copy"

        # released and cancelled by the workers of ours, who may not send to theirs
        assert far.refresh().state is State.WAITING
        assert not far.record.blocked
        assert in_vain.refresh().state is State.CANCELLED
        aws.invoke("Scheduler", {"do": "tick"})
        assert far.wait(PATIENCE).state is State.COMPLETED
        assert in_vain.refresh().record.owed is None
    finally:
        for one in workers:
            one.kill()
            one.wait()
    assert first.outputs["copy"].open().read() == b"content"
    assert "denied" not in "".join(one.log.read_text().lower() for one in workers)
    ours.submit("work").why()  # their signs of life are fresh
    hear_of_an_end(creator)
    assert ours.download("input", key).read() == b"content"
    ours.remove("input", key)


def mend_what_was_cut_off(aws: EmbeddedAws, names: Names) -> None:
    """What the scheduler does for jobs whose worker or manager died at a bad moment."""
    table, now = aws.client("dynamodb"), int(time.time() * 1000)
    long_ago = now - 7_200_000

    def put(partition: str, name: str, **fields: Any) -> None:
        item = {k: {"N": str(v)} if isinstance(v, int) else {"S": v} for k, v in fields.items()}
        table.put_item(
            TableName=names.table, Item={"pk": {"S": partition}, "sk": {"S": name}, **item}
        )

    def put_record(state: State, **fields: Any) -> str:
        job_id = new_job_id(now - 10_000, lambda n: time.time_ns().to_bytes(16)[-n:])
        base: dict[str, Any] = {"j_state": state.value, "j_task": "work", "j_queue": "ours"}
        times = {"j_created": long_ago, "j_updated": long_ago}
        fields = {**fields}
        if "a_kind" in fields:
            fields["a_kind"] = f"{fields['a_kind']}#{shard_of(job_id)}"
        put(partition_of(job_id), job_id, **base, **times, **fields)
        return job_id

    # its lock is free, and the first who waits for it is long gone
    lock = f"{Partition.RESOURCE}scanner"
    parked = put_record(
        State.WAITING,
        j_due=long_ago,
        j_parked=lock,
        j_resource="scanner",
        a_kind="waiting",
        a_at=long_ago,
    )
    put(lock, f"waiter#{parked}", j_job=parked)
    gone = "0" * 26  # of 1970
    put(lock, f"waiter#{gone}", j_job=gone)
    # a job whose runs left outputs, one that was removed, and repeats that were replaced
    failed = put_record(
        State.FAILED, j_attempt=2, j_failures=2, j_run="0" * 16, j_finished=long_ago
    )
    aws.client("s3").put_object(Bucket=names.output, Key=f"ours/{failed}/0/a", Body=b"left")
    removed = new_job_id(now - 5_000, lambda n: bytes(n))
    put(
        partition_of(removed),
        removed,
        j_removed=long_ago,
        j_expires=now // 1000 + 9999,
        j_token="t",
        j_queue="ours",
        a_kind=f"removed#{shard_of(removed)}",
        a_at=long_ago,
    )
    put(removed, "log#1", j_note="text", j_expires=now // 1000 + 9999)
    head = "ours#work"
    put(f"{Partition.REPEATS}{head}", head, j_head=1, a_kind="replaced#0", a_at=long_ago)

    assert "failed" not in json.dumps(aws.invoke("Scheduler", {"do": "tick"}))
    left = table.query(
        TableName=names.table,
        KeyConditionExpression="pk = :pk",
        ExpressionAttributeValues={":pk": {"S": lock}},
    )
    assert left["Items"] == []
    # letters of a job that can run, and of none
    letters = names.queues["ours"]["dead_letter"]
    ready = put_record(State.READY)
    for body in (Pending(job_id=ready, task="work").body(), "{"):
        aws.client("sqs").send_message(QueueUrl=letters, MessageBody=body)
    said = aws.invoke("Scheduler", {"do": "letters"})
    assert said == {"letters sent again": 1, "letters kept": 1}
    said = aws.invoke("Scheduler", {"do": "sweep"})

    assert said["outputs removed"] == 1
    assert said["removals finished"] == 1


def fail_an_upload(aws: EmbeddedAws) -> None:
    """For the last time: the function sets it aside."""
    record = {
        "messageId": "1",
        "body": "no event",
        "attributes": {"ApproximateReceiveCount": str(UPLOAD_RECEIVES)},
    }
    said = aws.invoke("Uploads/OnUpload", {"Records": [record]})
    assert said == {"batchItemFailures": []}


def work_by_hand(creator: RemoteJob, worker: RemoteJob) -> None:
    ours = creator.queue("ours")
    jobs = [
        ours.submit("work", resource="by hand", body=b"content"),
        ours.submit("work", resource="by hand", data=LONG),
        ours.submit("work", repeat=Repeat(times=2)),
        *ours.map("work", [1], on_complete="summary").children(),
    ]
    ours.submit("work", depends=[jobs[0]])
    worker.job(jobs[0].id).why()
    left, given_back = {job.id for job in jobs}, False
    for _ in range(20):
        for taken in worker.queue("ours").get_work(max_jobs=10, wait=timedelta(seconds=1)):
            assert taken.data in (None, 1, LONG) or isinstance(taken.data, dict)
            if not given_back:
                given_back = True
                taken.checkpoint(LONG)
                taken.release()
                continue
            assert taken.resumed_from in (None, LONG)
            if taken.input is not None:
                taken.download()
            taken.checkpoint(LONG)
            taken.output("a", b"content")
            taken.done(LONG)
            left.discard(taken.id)
        if not left:
            break
    assert not left


def send_what_nobody_reads(aws: EmbeddedAws, names: Names) -> None:
    """A message that whoever receives it moves to the dead letters."""
    lane = names.queues["ours"][QueueKey.NORMAL]
    aws.client("sqs").send_message(QueueUrl=lane, MessageBody="{")


def read_and_remove_an_output(creator: RemoteJob, manager: RemoteJob) -> None:
    job = next(job for job in creator.jobs() if "a" in job.outputs)
    assert job.outputs["a"].read_bytes() == b"content"
    manager.queue("ours").remove("output", job.outputs["a"].key)


def manage(creator: RemoteJob, manager: RemoteJob, aws: EmbeddedAws) -> None:
    letters = aws.deployment.one("AWS::SQS::Queue", "Uploads/Undelivered").physical_id
    aws.client("sqs").send_message(QueueUrl=letters, MessageBody="{}")
    assert any(one.reason.startswith("EventBridge") for one in manager.dead_letters())
    assert any(one.done for one in manager.redrive(kind="uploads"))
    ours = creator.queue("ours")
    first = ours.submit("work", delay=LATER, resource="managed")
    dependent = ours.submit("work", depends=[first], body=b"content")
    ours.submit("work", delay=LATER, repeat=Repeat(wait=LATER))

    def seen(job: Job) -> Job:
        return manager.job(job.id)

    seen(ours.submit("work")).why()
    seen(first).pause().resume()
    seen(first).cancel()
    assert seen(dependent).state is State.CANCELLED
    seen(dependent).restart()
    manager.cancel_jobs([first, dependent])
    manager.remove_jobs([first, dependent])
    manager.queue("ours").cancel_repeats("work")
    manager.queue("ours").delete_failed()
    manager.queue("ours").stop()
    manager.queue("ours").start()


def hear_of_an_end(creator: RemoteJob) -> None:
    notice = creator.queue("ours").next("completed", wait=timedelta(seconds=20))
    assert notice is not None
    notice.acknowledge()


def uploaded(creator: RemoteJob) -> list[Job]:
    return [job for job in creator.jobs() if job.input and job.input.key.endswith("/a.jpg")]


def empty_queues(aws: EmbeddedAws) -> None:
    sqs = aws.client("sqs")
    for queue in aws.deployment.all("AWS::SQS::Queue"):
        sqs.purge_queue(QueueUrl=queue.physical_id)
