"""Drop a file in S3: the deployed rule, queue, function and worker do the rest."""

from __future__ import annotations

import json
from contextlib import suppress
from pathlib import Path
from uuid import uuid4

import pytest
from PIL import Image

from remotejob import CommandRefused, Job, JobFailed, RemoteJob, State
from remotejob.local.embedded import EmbeddedAws
from tests.end_to_end.waiting import PATIENCE, until

PHOTOS = Path("examples/photos")

pytestmark = pytest.mark.usefixtures("worker")


def upload(aws: EmbeddedAws, system: RemoteJob, file: Path, key: str) -> str:
    """Upload as a user does; the version it became."""
    s3 = aws.client("s3")
    s3.upload_file(str(file), system.input_bucket, key)
    return str(s3.head_object(Bucket=system.input_bucket, Key=key)["VersionId"])


def jobs_of(system: RemoteJob, key: str) -> list[Job]:
    return [job for job in system.jobs() if job.input is not None and job.input.key == key]


def job_of(system: RemoteJob, key: str) -> Job:
    return until(lambda: jobs_of(system, key), what=f"a job for {key}")[0].wait(PATIENCE)


def test_uploaded_photo_becomes_thumbnail(
    aws: EmbeddedAws, system: RemoteJob, tmp_path: Path
) -> None:
    key = f"photos/{uuid4()}/a photo+ünï.png"
    version = upload(aws, system, PHOTOS / "cat-face.png", key)

    job = job_of(system, key)

    assert job.state is State.COMPLETED
    assert job.input is not None
    assert job.input.version == version
    assert job.result["to"] == [100, 67]
    assert list(job.progress) == [3, 3]
    assert [line.message for line in job.logs()] == ["a photo+ünï.png: 451x300 became 100x67"]
    with Image.open(job.outputs["a photo+ünï.png"].download(tmp_path)) as thumbnail:
        assert thumbnail.size == (100, 67)
        assert thumbnail.format == "PNG"


@pytest.mark.parametrize(
    ("last", "made"),
    [
        ("two\nlines.png", "two_lines.png"),
        ("scans\\tab\t1+2%20 ü.png", "scans_tab_1+2%20 ü.png"),
        pytest.param("n" * 300 + ".png", "n" * 251 + ".png", marks=pytest.mark.exhaustive),
    ],
    ids=["newline", "backslash and tab", "long"],
)
def test_upload_of_an_odd_name_keeps_its_suffix_and_its_key(
    aws: EmbeddedAws, system: RemoteJob, last: str, made: str
) -> None:
    key = f"photos/{uuid4()}//../{last}"
    upload(aws, system, PHOTOS / "cat-face.png", key)

    job = job_of(system, key)

    assert job.state is State.COMPLETED, job.errors
    assert job.input is not None
    assert (job.input.key, job.filename) == (key, made)
    assert list(job.outputs) == [made]


@pytest.mark.exhaustive
def test_multipart_upload_makes_one_job(aws: EmbeddedAws, system: RemoteJob) -> None:
    key = f"photos/{uuid4()}.png"
    upload(aws, system, PHOTOS / "forest-stream.png", key)

    assert job_of(system, key).state is State.COMPLETED
    etag = aws.client("s3").head_object(Bucket=system.input_bucket, Key=key)["ETag"]
    assert "-" in etag, "the file was meant to go up in parts"
    assert len(jobs_of(system, key)) == 1


def test_file_that_is_no_image_fails_its_job_with_the_reason(
    aws: EmbeddedAws, system: RemoteJob
) -> None:
    key = f"photos/{uuid4()}.jpg"
    upload(aws, system, PHOTOS / "not-a-photo.jpg", key)

    job = job_of(system, key)

    assert job.state is State.FAILED
    assert "is not an image" in job.errors[-1].message
    assert not job.outputs
    with pytest.raises(JobFailed, match="is not an image"):
        _ = job.result


def test_event_delivered_again_makes_no_second_job(aws: EmbeddedAws, system: RemoteJob) -> None:
    key = f"photos/{uuid4()}.png"
    version = upload(aws, system, PHOTOS / "cat-face.png", key)
    job = job_of(system, key)
    assert job.input is not None

    uploads = aws.deployment.one("AWS::SQS::Queue", "Uploads/Queue").physical_id
    event = {
        "version": "0",
        "id": str(uuid4()),
        "detail-type": "Object Created",
        "source": "aws.s3",
        "account": "123456789012",
        # as in the first delivery: an id begins with the event's time
        "time": _event_time(job),
        "region": aws.region,
        "resources": [f"arn:aws:s3:::{system.input_bucket}"],
        "detail": {
            "version": "0",
            "bucket": {"name": system.input_bucket},
            "object": {
                "key": key,
                "size": job.input.size,
                "etag": job.input.etag,
                "version-id": version,
                "sequencer": "0062E99A88DC407460",
            },
            "reason": "PutObject",
        },
    }
    sqs = aws.client("sqs")
    sqs.send_message(QueueUrl=uploads, MessageBody=json.dumps(event))
    undelivered = aws.deployment.one("AWS::SQS::Queue", "Uploads/Undelivered").physical_id
    sqs.send_message(QueueUrl=undelivered, MessageBody=json.dumps(event))
    (letter,) = system.dead_letters(kind="uploads")
    assert (letter.job_id, letter.file) == (job.id, f"s3://{system.input_bucket}/{key}")
    assert [one.done for one in system.redrive(kind="uploads")] == [True]
    # a later upload of the same key shows that the two events before it were handled
    upload(aws, system, PHOTOS / "cat-face.png", key)
    until(lambda: len(jobs_of(system, key)) >= 2, what="the job of the second version")
    until(lambda: _is_empty(aws, uploads), what="an empty uploads queue")

    assert len(jobs_of(system, key)) == 2


def test_upload_without_a_route_makes_no_job_and_says_so(
    aws: EmbeddedAws, system: RemoteJob
) -> None:
    key = f"elsewhere/{uuid4()}.png"
    upload(aws, system, PHOTOS / "cat-face.png", key)

    def said() -> bool:
        return any(
            key in line and "no route" in line
            for log in aws.logs.glob("*.log")
            for line in log.read_text().splitlines()
        )

    until(said, what="a log line about the upload without a route")
    assert not jobs_of(system, key)


def _event_time(job: Job) -> str:
    from remotejob.domain.ids import created_ms
    from remotejob.domain.times import from_ms

    return from_ms(created_ms(job.id)).isoformat().replace("+00:00", "Z")


def _is_empty(aws: EmbeddedAws, url: str) -> bool:
    names = ["ApproximateNumberOfMessages", "ApproximateNumberOfMessagesNotVisible"]
    found = aws.client("sqs").get_queue_attributes(QueueUrl=url, AttributeNames=names)
    return all(found["Attributes"][name] == "0" for name in names)


@pytest.mark.parametrize(
    "prefix",
    ["fed/", pytest.param("fed/apart/", marks=pytest.mark.exhaustive)],
    ids=["thread", "process"],
)
def test_a_task_that_feeds_itself_with_rights_of_its_own_ends(
    aws: EmbeddedAws, system: RemoteJob, prefix: str
) -> None:
    folder, most = f"{prefix}{uuid4()}/", 3
    exported = aws.environment()
    own = {
        "aws_access_key_id": exported["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": exported["AWS_SECRET_ACCESS_KEY"],
    }
    aws.client("s3").put_object(
        Bucket=system.input_bucket, Key=f"{folder}first", Body=json.dumps(own).encode()
    )

    def ended() -> list[Job]:
        fed = [one for one in system.jobs() if one.input and one.input.key.startswith(folder)]
        return fed if any(one.state is State.FAILED for one in fed) else []

    fed = until(ended, what="the end of the chain")
    assert len(fed) == most + 1
    assert {one.state for one in fed if one.state is not State.FAILED} == {State.COMPLETED}
    (last,) = [one for one in fed if one.state is State.FAILED]
    assert "max_depth" in last.errors[-1].message


def test_a_route_spreads_the_uploads_of_each_tenant(aws: EmbeddedAws, system: RemoteJob) -> None:
    tenants = [f"one-{uuid4()}", f"two-{uuid4()}"]
    body = (PHOTOS / "cat-face.png").read_bytes()
    for tenant in tenants:
        for number in range(3):
            aws.client("s3").put_object(
                Bucket=system.input_bucket, Key=f"slow/{tenant}/{number}.png", Body=body
            )

    def made() -> list[Job]:
        found = [job for job in system.jobs() if job.tenant in tenants]
        return found if len(found) == 6 else []

    jobs = until(made, what="all jobs")
    for tenant in tenants:
        own = [job.record.due_ms for job in jobs if job.tenant == tenant]
        waiting = [due for due in own if due is not None]
        # a minute may have begun between two of them
        assert 1 <= len(waiting) == len(set(waiting)) <= 2
    # else they would run under the workers of later tests
    for job in jobs:
        with suppress(CommandRefused):
            job.cancel()
