"""Inputs that no attempt can read fail the job at once, with the reason and the remedy."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import pytest

from remotejob import (
    Async,
    AsyncRunningJob,
    FileUnreadable,
    Job,
    RemoteJob,
    Retry,
    RunningJob,
    State,
)
from remotejob.backends.aws.unreadable import unreadable
from remotejob.backends.memory import MemoryFiles
from remotejob.ports import Area, Installation
from remotejob.tasks import Registry
from remotejob.testing import FakeClock, Simulation
from tests.aws import TRANSPORTS, aws_installation, clients

KEY = "photos/a scan's.tif"
MORE = Retry(max_attempts=3, wait=timedelta(seconds=1))

READS: dict[str, Callable[[RunningJob], Any]] = {
    "open": lambda job: job.open().read(),
    "download": lambda job: job.download().read_bytes(),
}


@pytest.fixture(params=TRANSPORTS)
def on_s3(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    with aws_installation(clock, transport=request.param) as made:
        yield made


def run_on(installation: Installation, key: str, read: Callable[[RunningJob], Any]) -> Job:
    """The job of a stored file, after its first attempt."""
    tasks = Registry()
    tasks.task("work", retry=MORE)(read)
    job = RemoteJob(installation).queue().trigger("pending", key, task="work")
    Simulation(installation=installation, tasks=tasks).step()
    return job.refresh()


@pytest.mark.parametrize("storage_class", ["GLACIER", "DEEP_ARCHIVE"])
@pytest.mark.parametrize("read", READS)
def test_archived_input_fails_at_once_and_says_to_restore_it(
    on_s3: Installation, read: str, storage_class: Any
) -> None:
    bucket = on_s3.files.bucket(Area.INPUT)
    stored = clients().s3.put_object(Bucket=bucket, Key=KEY, Body=b"x", StorageClass=storage_class)

    job = run_on(on_s3, KEY, READS[read])

    assert (job.state, job.attempt) == (State.FAILED, 1)
    (failure,) = job.errors
    assert failure.kind == "FileUnreadable"
    assert failure.message.startswith(f"s3://{bucket}/{KEY} is archived ({storage_class})")
    assert "restore it first, then restart the job" in failure.message
    assert (
        f"aws s3api restore-object --restore-request Days=7 --bucket {bucket} "
        f"--version-id {stored['VersionId']}"
    ) in failure.message


@pytest.mark.parametrize("length", [200, 1000])
def test_remedy_for_an_archived_input_is_in_the_record_however_long_its_key(
    on_s3: Installation, length: int
) -> None:
    key, bucket = "k" * length, on_s3.files.bucket(Area.INPUT)
    clients().s3.put_object(Bucket=bucket, Key=key, Body=b"x", StorageClass="GLACIER")

    job = run_on(on_s3, key, READS["open"])

    assert "restore it first, then restart the job" in job.errors[-1].message


def test_archived_input_that_was_restored_is_read_after_a_restart(on_s3: Installation) -> None:
    bucket = on_s3.files.bucket(Area.INPUT)
    clients().s3.put_object(Bucket=bucket, Key=KEY, Body=b"content", StorageClass="GLACIER")
    tasks = Registry()
    tasks.task("work", retry=MORE)(lambda job: job.open().read().decode())
    worker = Simulation(installation=on_s3, tasks=tasks)
    job = RemoteJob(on_s3).queue().trigger("pending", KEY, task="work")
    worker.step()
    assert job.refresh().state is State.FAILED

    clients().s3.restore_object(Bucket=bucket, Key=KEY, RestoreRequest={"Days": 1})
    job.restart()
    worker.step()

    assert job.refresh().result == "content"


def test_async_task_fails_at_once_on_an_archived_input(on_s3: Installation) -> None:
    bucket = on_s3.files.bucket(Area.INPUT)
    clients().s3.put_object(Bucket=bucket, Key=KEY, Body=b"x", StorageClass="GLACIER")
    tasks = Registry()

    @tasks.task("work", retry=MORE, runs_in=Async())
    async def work(job: AsyncRunningJob) -> None:
        await job.download()

    taken = RemoteJob(on_s3).queue().trigger("pending", KEY, task="work")
    Simulation(installation=on_s3, tasks=tasks).step()

    assert [failure.kind for failure in taken.refresh().errors] == ["FileUnreadable"]
    assert taken.state is State.FAILED


@pytest.mark.parametrize(
    ("error", "named"),
    [
        ({"Code": "InvalidObjectState", "AccessTier": "ARCHIVE_ACCESS"}, "ARCHIVE_ACCESS"),
        ({"Code": "InvalidObjectState"}, "Glacier or Deep Archive"),
        (
            {
                "Code": "InvalidRequest",
                "Message": "The object was stored using a form of Server Side Encryption. The "
                "correct parameters must be provided to retrieve the object.",
            },
            "SSE-C",
        ),
    ],
)  # fmt: skip
def test_refusals_of_get_object_that_no_retry_helps_are_explained(
    error: dict[str, str], named: str
) -> None:
    cause = unreadable({"Error": error}, bucket="b", key="k", version=None)

    assert isinstance(cause, FileUnreadable)
    assert named in str(cause)


@pytest.mark.parametrize(
    "error",
    [
        {"Code": "AccessDenied", "Message": "kms:Decrypt"},
        {"Code": "KMS.DisabledException", "Message": "key is disabled"},
        {"Code": "InternalError"},
        {"Code": "InvalidRequest", "Message": "Missing header"},
        {},
    ],
    ids=str,
)
def test_refusals_that_an_operator_can_mend_are_left_to_the_retries(error: dict[str, str]) -> None:
    assert unreadable({"Error": error}, bucket="b", key="k", version=None) is None


def lose(installation: Installation, key: str) -> None:
    """Delete every version of an input."""
    files = installation.files
    if isinstance(files, MemoryFiles):
        files.expire(Area.INPUT, key)
        return
    bucket = files.bucket(Area.INPUT)
    for version in clients().s3.list_object_versions(Bucket=bucket, Prefix=key)["Versions"]:
        clients().s3.delete_object(Bucket=bucket, Key=key, VersionId=version["VersionId"])


@pytest.mark.parametrize("read", READS)
def test_deleted_input_fails_at_once(
    remote: RemoteJob, installation: Installation, worker: Simulation, tasks: Registry, read: str
) -> None:
    tasks.task("work", retry=MORE)(READS[read])
    job = remote.queue().submit("work", body=b"x", filename="a.txt")
    assert job.input is not None
    lose(installation, job.input.key)

    worker.step()

    job.refresh()
    assert (job.state, job.attempt) == (State.FAILED, 1)
    (failure,) = job.errors
    assert failure.kind == "FileGone"
    assert job.input.key in failure.message
    assert "upload the file again" in failure.message


def test_deleted_data_fails_at_once(
    remote: RemoteJob, installation: Installation, worker: Simulation, tasks: Registry
) -> None:
    tasks.task("work", retry=MORE)(lambda job: job.data)
    job = remote.queue().submit("work", data="x" * 5000)
    (key,) = installation.files.keys(Area.INPUT, "")
    lose(installation, key)

    worker.step()

    assert job.refresh().state is State.FAILED
    assert [failure.kind for failure in job.errors] == ["FileGone"]


def test_deleted_input_is_a_file_not_found_for_a_task_that_goes_on_without_it(
    remote: RemoteJob, installation: Installation, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work")
    def work(job: RunningJob) -> str:
        try:
            return job.open().read().decode()
        except FileNotFoundError as problem:
            return type(problem).__name__

    job = remote.queue().submit("work", body=b"x", filename="a.txt")
    assert job.input is not None
    lose(installation, job.input.key)

    worker.step()

    assert job.refresh().result == "FileGone"


def test_folder_that_is_missing_on_the_workers_disk_is_no_lost_input(
    remote: RemoteJob, worker: Simulation, tasks: Registry
) -> None:
    @tasks.task("work", retry=MORE)
    def work(job: RunningJob) -> None:
        job.download(job.folder() / "missing" / "a.txt")

    job = remote.queue().submit("work", body=b"x", filename="a.txt")

    worker.step()

    assert job.refresh().state is State.WAITING
    assert [failure.kind for failure in job.errors] == ["FileNotFoundError"]
