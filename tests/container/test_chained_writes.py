"""A task that feeds itself ends, however its files reach the routed prefix."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import boto3
import pytest
from boto3.s3.transfer import TransferConfig
from botocore import handlers

from remotejob import Queue, RemoteJob, State, Submission
from remotejob.container.chained_writes import mark_writes
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.ports import Area, Installation
from remotejob.settings import parse
from remotejob.tasks import Registry
from remotejob.tasks.running_job import RunningJob
from remotejob.testing import FakeClock, Simulation
from tests.aws import BUCKETS, REGION, aws_installation

BUCKET = BUCKETS[Area.INPUT]
MOST = 4
PART = 5 * 1024 * 1024
SETTINGS = parse(
    {"queues": {"default": {"tasks": ["work"]}}, "routes": [{"prefix": "in/", "task": "work"}]}
)

Write = Callable[[Any, RunningJob, str], object]


def _copy_source(job: RunningJob) -> dict[str, str]:
    assert job.input is not None
    return {"Bucket": BUCKET, "Key": job.input.key}


def _in_own_thread(s3: Any, _: RunningJob, key: str) -> None:
    with ThreadPoolExecutor(1) as pool:
        pool.submit(s3.put_object, Bucket=BUCKET, Key=key).result()


WRITES: dict[str, Write] = {
    "put_object": lambda s3, _, key: s3.put_object(Bucket=BUCKET, Key=key, Body=b"x"),
    "with metadata": lambda s3, _, key: s3.put_object(Bucket=BUCKET, Key=key, Metadata={"a": "b"}),
    "upload_file": lambda s3, _, key: s3.upload_file(__file__, BUCKET, key),
    "in parts": lambda s3, _, key: s3.upload_fileobj(
        io.BytesIO(b"x" * (PART + 1)), BUCKET, key, Config=TransferConfig(PART, 1, PART)
    ),
    "copy_object": lambda s3, job, key: s3.copy_object(
        Bucket=BUCKET, Key=key, CopySource=_copy_source(job)
    ),
    "copy_object by address": lambda s3, job, key: s3.copy_object(
        Bucket=BUCKET, Key=key, CopySource=f"{BUCKET}/{job.input.key if job.input else ''}"
    ),
    "copy_object with metadata": lambda s3, job, key: s3.copy_object(
        Bucket=BUCKET, Key=key, CopySource=_copy_source(job), MetadataDirective="REPLACE"
    ),
    "copy": lambda s3, job, key: s3.copy(_copy_source(job), BUCKET, key),
    "a thread of its own": _in_own_thread,
    "in place": lambda s3, job, _: s3.put_object(
        Bucket=BUCKET, Key=job.input.key if job.input else "", Body=b"y"
    ),
}


@pytest.fixture
def installation(clock: FakeClock) -> Iterator[Installation]:
    with aws_installation(clock) as made:
        yield replace(made, max_depth=MOST)


@pytest.fixture
def marking() -> Iterator[None]:
    before = list(handlers.BUILTIN_HANDLERS)
    mark_writes()
    yield
    handlers.BUILTIN_HANDLERS[:] = before


class _Bucket:
    """Makes jobs of the new files under the routed prefix, as the upload function does."""

    def __init__(self, installation: Installation, s3: Any) -> None:
        self._installation = installation
        self._s3 = s3
        self._known: set[str] = set()

    def ingest(self) -> int:
        found = self._s3.list_object_versions(Bucket=BUCKET, Prefix="in/").get("Versions", ())
        new = [one for one in found if one["VersionId"] not in self._known]
        for one in new:
            self._known.add(one["VersionId"])
            upload = Upload(
                bucket=BUCKET,
                key=one["Key"],
                size=one["Size"],
                etag=one["ETag"].strip('"'),
                version=one["VersionId"],
                sequencer=None,
                at_ms=self._installation.clock.now_ms(),
            )
            ingest(upload, SETTINGS, self._installation)
        return len(new)


def _s3() -> Any:
    # not the session that the library has: a task's own
    made = boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION
    )
    return made.client("s3")


def _run_to_end(installation: Installation, tasks: Registry, bucket: _Bucket) -> None:
    worker = Simulation(installation=installation, tasks=tasks)
    for _ in range(3 * MOST):
        bucket.ingest()
        if not worker.step():
            return
    pytest.fail("it goes on and on")


@pytest.mark.exhaustive
@pytest.mark.usefixtures("marking")
@pytest.mark.parametrize("way", WRITES)
def test_a_task_that_writes_under_its_own_route_ends(
    way: str, installation: Installation, tasks: Registry, queue: Queue
) -> None:
    s3 = _s3()

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        WRITES[way](s3, job, f"in/{job.id}")

    s3.put_object(Bucket=BUCKET, Key="in/first", Body=b"x")
    _run_to_end(installation, tasks, _Bucket(installation, s3))

    (last,) = queue.jobs(state=State.FAILED)
    assert len(queue.jobs(state=State.COMPLETED)) == MOST
    (error,) = last.errors
    assert "max_depth" in error.message


@pytest.mark.usefixtures("marking")
def test_a_copy_keeps_what_it_would_have_kept(
    installation: Installation, tasks: Registry, queue: Queue
) -> None:
    s3 = _s3()
    tasks.task("work")(lambda job: WRITES["copy_object"](s3, job, "elsewhere/copy") and None)
    s3.put_object(
        Bucket=BUCKET, Key="in/first", ContentType="text/x-odd", Metadata={"a": "b"}, Body=b"x"
    )
    _run_to_end(installation, tasks, _Bucket(installation, s3))

    copy = s3.head_object(Bucket=BUCKET, Key="elsewhere/copy")
    assert copy["ContentType"] == "text/x-odd"
    assert copy["Metadata"] == {"a": "b", "remotejob-depth": "1"}


@pytest.mark.usefixtures("marking")
def test_files_that_become_no_jobs_stay_as_they_are(
    installation: Installation, tasks: Registry, queue: Queue
) -> None:
    s3 = _s3()

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        s3.put_object(Bucket=BUCKETS[Area.OUTPUT], Key="mine")
        s3.put_object(Bucket=BUCKET, Key="jobs/mine")

    queue.submit("work")
    Simulation(installation=installation, tasks=tasks).step()
    s3.put_object(Bucket=BUCKET, Key="in/by-hand")

    for bucket, key in (
        (BUCKETS[Area.OUTPUT], "mine"),
        (BUCKET, "jobs/mine"),
        (BUCKET, "in/by-hand"),
    ):
        assert s3.head_object(Bucket=bucket, Key=key)["Metadata"] == {}


CHAINS: dict[str, Callable[[Queue, RunningJob], object]] = {
    "submit": lambda queue, _: queue.submit("work"),
    "submit_many": lambda queue, _: queue.submit_many([Submission("work")]),
    "map": lambda queue, _: queue.map("work", [1]),
    "on_complete": lambda queue, job: queue.map("idle", [1], on_complete="work"),
    "store_raw": lambda queue, job: queue.store_raw(f"in/{job.id}", {"a": "b"}, b"x"),
    "trigger": lambda queue, job: queue.trigger(
        "pending", queue.store({"a": "b", "body": b"x"}), task="work"
    ),
    "submit and upload": lambda queue, job: (
        queue.submit("work") if job.input else queue.store_raw(f"in/{job.id}", {}, b"x")
    ),
}


@pytest.mark.parametrize("way", CHAINS)
def test_a_task_that_submits_itself_ends(
    way: str, installation: Installation, tasks: Registry
) -> None:
    described = installation.queues["default"]
    queues = {"default": replace(described, tasks=("work", "idle"))}
    installation = replace(installation, queues=queues)
    queue = RemoteJob(installation).queue()
    seen = []
    tasks.task("idle")(lambda _: None)

    @tasks.task("work")
    def work(job: RunningJob) -> None:
        seen.append(job.data)
        CHAINS[way](queue, job)

    queue.submit("work")
    _run_to_end(installation, tasks, _Bucket(installation, _s3()))

    assert len(seen) == MOST + 1
    (last,) = queue.jobs(state=State.FAILED)
    assert last.errors[-1].kind == "ChainTooLong"
    assert not any("remotejob-depth" in data for data in seen if isinstance(data, dict))


def test_botocore_is_not_imported_only_for_that() -> None:
    program = (
        "import sys; from remotejob.container.chained_writes import mark_writes; mark_writes();"
        "assert 'botocore' not in sys.modules; from botocore import handlers;"
        "print(sum('chained_writes' in one[1].__module__ for one in handlers.BUILTIN_HANDLERS))"
    )
    printed = subprocess.check_output([sys.executable, "-c", program], text=True)

    assert printed == "4\n"
