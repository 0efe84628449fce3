"""A record cannot make anybody read from a bucket that is not the system's."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from remotejob import (
    Async,
    AsyncRunningJob,
    FileUnreadable,
    InvalidBody,
    InvalidName,
    Job,
    Notice,
    RemoteJob,
    RunningJob,
    SettingsError,
    Submission,
)
from remotejob.backends.aws.account import Account
from remotejob.backends.aws.connect import installation as connected
from remotejob.backends.aws.system_description import SystemDescription
from remotejob.domain.record import InputFile, JobRecord
from remotejob.domain.states import State
from remotejob.ports import Channel, Installation
from remotejob.settings import parse
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation, memory_installation
from tests.aws import REGION, aws_installation, clients, session
from tests.boundaries.forging import forged, input_named

OTHER = "somebody-elses"


@pytest.fixture
def foreign(clock: FakeClock) -> Iterator[Installation]:
    """A system on AWS, next to a bucket that its credentials may read, too."""
    with aws_installation(clock) as made:
        clients().s3.create_bucket(
            Bucket=OTHER, CreateBucketConfiguration={"LocationConstraint": REGION}
        )
        clients().s3.put_object(Bucket=OTHER, Key="x/evil", Body=b"secret")
        yield made


def naming_another(installation: Installation, **fields: Any) -> JobRecord:
    text = input_named("a.txt", installation, bucket=OTHER)
    return forged(installation, input_json=text, **fields)


def assert_says_how_to_allow(error: BaseException | str) -> None:
    assert repr(OTHER) in str(error)
    assert "readable_buckets" in str(error)
    assert "\n" not in str(error)


def never(*_: object, **__: object) -> None:
    raise AssertionError("a request was made")


READS: dict[str, Callable[[RunningJob], Any]] = {
    "open": lambda job: job.open().read(),
    "download": lambda job: job.download().read_bytes(),
}


@pytest.mark.parametrize("read", READS)
def test_a_worker_reads_no_bucket_that_a_record_names_and_fails_the_job_for_good(
    installation: Installation, worker: Simulation, tasks: Registry, read: str
) -> None:
    tasks.task("work")(READS[read])
    record = naming_another(installation, send=True)

    worker.step()

    job = RemoteJob(installation).job(record.id)
    assert (job.state, job.attempt) == (State.FAILED, 1)
    (failure,) = job.errors
    assert failure.kind == "FileUnreadable"
    assert_says_how_to_allow(failure.message)


@pytest.mark.parametrize("read", READS)
def test_it_is_refused_though_the_role_may_read_it(
    foreign: Installation, tasks: Registry, read: str
) -> None:
    tasks.task("work")(READS[read])
    record = naming_another(foreign, send=True)

    Simulation(installation=foreign, tasks=tasks).step()

    assert [e.kind for e in RemoteJob(foreign).job(record.id).errors] == ["FileUnreadable"]


def test_an_async_task_is_refused_too(foreign: Installation, tasks: Registry) -> None:
    @tasks.task("work", runs_in=Async())
    async def work(job: AsyncRunningJob) -> None:
        await job.download()

    record = naming_another(foreign, send=True)
    Simulation(installation=foreign, tasks=tasks).step()

    assert [e.kind for e in RemoteJob(foreign).job(record.id).errors] == ["FileUnreadable"]


def test_a_replay_on_a_laptop_reads_nothing_with_its_users_rights(foreign: Installation) -> None:
    job = Job(naming_another(foreign, state=State.FAILED), foreign)

    with pytest.raises(FileUnreadable) as refusal:
        job.replay_here(tasks=READS["open"])
    assert_says_how_to_allow(refusal.value)
    with pytest.raises(FileUnreadable) as refusal:
        job.replay()
    assert_says_how_to_allow(refusal.value)


def test_a_notice_and_a_job_taken_by_hand_do_not_read_it(foreign: Installation) -> None:
    record = naming_another(foreign, send=True)
    (taken,) = RemoteJob(foreign).queue().get_work()
    with pytest.raises(FileUnreadable):
        taken.open()
    notice = Notice(
        job_id=record.id,
        task="work",
        queue="default",
        state=State.COMPLETED,
        attempt=1,
        run_id=None,
        finished_at=None,
        error=None,
        receives=1,
        message=None,  # type: ignore[arg-type]
        installation=foreign,
    )
    with pytest.raises(FileUnreadable):
        notice.open()


def test_submit_refuses_the_bucket_before_any_request(
    installation: Installation, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(type(installation.store), "put_new", never)
    file = InputFile(bucket=OTHER, key="x", size=1, name="x")

    with pytest.raises(InvalidName) as refusal:
        RemoteJob(installation).queue().submit_many([Submission("work", input=file)])

    assert_says_how_to_allow(refusal.value)


@pytest.mark.parametrize("read", READS)
def test_a_bucket_that_the_settings_allow_is_read(
    foreign: Installation, tasks: Registry, read: str
) -> None:
    allowed = replace(foreign, readable_buckets=frozenset({OTHER}))
    seen = []
    tasks.task("work")(lambda job: seen.append(READS[read](job)))
    naming_another(allowed, send=True)

    Simulation(installation=allowed, tasks=tasks).step()

    assert seen == [b"secret"]


def test_a_system_in_memory_can_allow_a_bucket(clock: FakeClock) -> None:
    allowed = replace(memory_installation(clock), readable_buckets=frozenset({OTHER}))
    job = Job(naming_another(allowed, state=State.FAILED), allowed)

    # allowed, and so looked for
    with pytest.raises(InvalidBody, match="gone"):
        job.replay_here(tasks=READS["open"])


def test_the_setting_reaches_workers_and_clients_in_the_description() -> None:
    queue = {channel.value: "https://sqs/url" for channel in Channel} | {"tasks": ["work"]}
    described = {
        "version": 1,
        "name": "x",
        "table": "t",
        "input_bucket": "in",
        "output_bucket": "out",
        "lease_seconds": 60,
        "retention_days": 30,
        "queues": {"default": queue},
    }
    for given, read in ((described, set()), (described | {"readable_buckets": [OTHER]}, {OTHER})):
        system = SystemDescription.from_json(json.dumps(given), origin="test")
        assert connected(system, account=Account(session())).readable_buckets == read


QUEUES = {"default": {"tasks": ["work"]}}


def test_the_settings_name_buckets() -> None:
    settings = parse({"system": {"readable_buckets": ["one-bucket", "an.other"]}, "queues": QUEUES})

    assert settings.system.readable_buckets == ("one-bucket", "an.other")
    assert parse({"queues": QUEUES}).system.readable_buckets == ()


@pytest.mark.parametrize(
    "buckets",
    [["s3://bucket"], ["bucket/key"], ["UPPER"], ["*"], [""], ["ab"], ["twice", "twice"], [7], "x"],
    ids=str,
)
def test_what_is_no_bucket_is_refused_in_the_settings(buckets: object) -> None:
    with pytest.raises(SettingsError, match="readable_buckets"):
        parse({"system": {"readable_buckets": buckets}, "queues": QUEUES})
