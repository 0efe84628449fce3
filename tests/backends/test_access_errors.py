"""What AWS does not allow is said in words, whatever was being done."""

from __future__ import annotations

import io
import json
from collections.abc import Callable, Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.stub import Stubber

from remotejob import AccessProblem, RemoteJob, Submission
from remotejob.backends.aws import S3Files
from remotejob.backends.aws.account import Account
from remotejob.backends.aws.connect import installation
from remotejob.backends.aws.system_description import SystemDescription
from remotejob.domain.transactions import Erase, Key
from remotejob.names import QueueKey
from remotejob.ports import Address, Area, Channel, Installation, Outgoing
from tests.aws import REGION

Use = Callable[[Installation, Path], object]

JSON = (
    b'{"__type": "AccessDeniedException", "message": "User: arn:aws:iam::1:user/me is not'
    b' authorized to perform: something on resource: some"}'
)
XML = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
UNKNOWN = b'{"__type": "UnrecognizedClientException", "message": "The token is invalid."}'
LANE = Address("default", Channel.HIGH)
JOB = "01KAMVFRG0000000000000000A"
NOW = timedelta(0)
LARGE = b"x" * (16 * 1024 * 1024)


class Raw(io.BytesIO):
    """The body of an answer, as urllib3 gives it."""

    def stream(self) -> Iterator[bytes]:
        yield self.read()


def system(json_body: bytes = JSON) -> Installation:
    """A system where every request is answered so."""

    def answer(request: Any, **_: object) -> Any:
        body = XML if ".s3." in request.url else json_body
        return AWSResponse(
            request.url, 403, HTTPHeaders(), Raw(b"" if request.method == "HEAD" else body)
        )

    session = boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION
    )
    session.events.register("before-send", answer)
    urls = {one.value: f"https://sqs.{REGION}.amazonaws.com/1/{one}" for one in Channel}
    described = {
        "version": 1,
        "name": "photos",
        "table": "the-table",
        "input_bucket": "the-input",
        "output_bucket": "the-output",
        "lease_seconds": 90,
        "retention_days": 20,
        "queues": {"default": {QueueKey.TASKS: ["work"], **urls}},
    }
    description = SystemDescription.from_json(json.dumps(described), origin="a test")
    return installation(description, account=Account(session))


@pytest.mark.parametrize(
    ("call", "where", "use"),
    [
        ("dynamodb:GetItem", "the-table", lambda it, _: it.store.get(JOB)),
        ("dynamodb:BatchGetItem", "", lambda it, _: it.store.get_many([JOB])),
        ("dynamodb:Query", "the-table", lambda it, _: list(it.store.listing("20261122#5"))),
        (
            "dynamodb:TransactWriteItems",
            "",
            lambda it, _: it.store.transact([Erase(key=Key(JOB, "n")), Erase(key=Key(JOB, "m"))]),
        ),
        (
            "dynamodb:DeleteItem",
            "the-table",
            lambda it, _: it.store.transact([Erase(key=Key(JOB, "n"))]),
        ),
        (
            "dynamodb:PutItem",
            "the-table",
            lambda it, _: it.store.put_note(JOB, "n", "text", expires_s=1),
        ),
        ("sqs:SendMessage", "/high", lambda it, _: it.messages.send(LANE, [Outgoing(body="{}")])),
        (
            "sqs:SendMessageBatch",
            "/high",
            lambda it, _: it.messages.send(LANE, [Outgoing(body="{}")] * 2),
        ),
        (
            "sqs:ReceiveMessage",
            "/high",
            lambda it, _: it.messages.receive(LANE, limit=1, wait=NOW, hidden=NOW),
        ),
        ("s3:PutObject", "the-input/k", lambda it, _: it.files.put(Area.INPUT, "k", b"x")),
        (
            "s3:CreateMultipartUpload",
            "the-input/k",
            lambda it, _: it.files.put(Area.INPUT, "k", LARGE),
        ),
        ("s3:HeadObject", "the-input/k", lambda it, _: it.files.describe(Area.INPUT, "k")),
        ("s3:GetObject", "the-output/k", lambda it, _: it.files.open("the-output", "k")),
        (
            "s3:GetObject",
            "the-output/k",
            lambda it, folder: it.files.download("the-output", "k", folder / "k"),
        ),
        ("s3:ListObjectsV2", "the-input", lambda it, _: list(it.files.keys(Area.INPUT, "k"))),
        ("s3:DeleteObjects", "the-input", lambda it, _: it.files.delete(Area.INPUT, ["k"])),
    ],
)
def test_a_call_that_is_not_allowed_is_named_with_the_remedy(
    call: str, where: str, use: Use, tmp_path: Path
) -> None:
    with pytest.raises(AccessProblem) as problem:
        use(system(), tmp_path)

    said = str(problem.value)
    assert "\n" not in said
    on = " on " if where else " ("
    assert f"does not allow these credentials {call}{on}" in said
    assert where in said
    assert "admin, manager, creator and worker" in said


def test_credentials_that_are_no_good_are_not_taken_for_a_missing_permission() -> None:
    with pytest.raises(AccessProblem, match=r"does not know the credentials.*AWS_PROFILE") as it:
        RemoteJob(system(UNKNOWN)).job(JOB)

    assert "policy" not in str(it.value)


EXPIRED = (
    b'{"__type": "InvalidSignatureException", "message": "Signature expired: 20261130T100000Z is'
    b' now earlier than 20261130T110000Z (20261130T110500Z - 5 min.)"}'
)
EARLY = (
    b'{"__type": "InvalidSignatureException", "message": "Signature not yet current:'
    b' 20261130T120000Z is still later than 20261130T111000Z (20261130T110500Z + 5 min.)"}'
)
SKEWED_XML = (
    b"<Error><Code>RequestTimeTooSkewed</Code><Message>The difference between the request time"
    b" and the current time is too large.</Message></Error>"
)


@pytest.mark.parametrize(
    ("body", "use"),
    [
        (EXPIRED, lambda it, _: it.store.get(JOB)),
        (EARLY, lambda it, _: it.messages.send(LANE, [Outgoing(body="{}")])),
        (SKEWED_XML, lambda it, _: it.files.put(Area.INPUT, "k", b"x")),
    ],
    ids=["DynamoDB", "SQS", "S3"],
)
def test_a_wrong_clock_is_not_taken_for_unknown_credentials(
    body: bytes, use: Use, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tests.backends.test_access_errors.XML", body)

    with pytest.raises(AccessProblem, match=r"this machine's clock, .* UTC, is wrong") as problem:
        use(system(body), tmp_path)

    said = str(problem.value)
    assert "\n" not in said
    assert "turning on NTP" in said
    assert "credentials" not in said


def test_a_file_that_may_not_be_deleted_is_named() -> None:
    """S3 refuses files of a batch one by one, in an answer that is no error."""
    session = boto3.Session(
        aws_access_key_id="testing", aws_secret_access_key="testing", region_name=REGION
    )
    client = session.client("s3")
    with Stubber(client) as stub:
        errors = [{"Key": "files/k", "Code": "AccessDenied", "Message": "Access Denied"}]
        stub.add_response("delete_objects", {"Errors": errors})
        files = S3Files(lambda: client, {Area.INPUT: "the-input"})
        with pytest.raises(AccessProblem, match="s3:DeleteObject on files/k"):
            files.delete(Area.INPUT, ["files/k"])


def test_many_jobs_of_which_none_may_be_stored_are_refused_as_one_is() -> None:
    queue = RemoteJob(system()).queue()

    with pytest.raises(AccessProblem):
        queue.submit_many([Submission(task="work")] * 3)


def test_a_command_to_many_jobs_is_refused_and_not_by_each() -> None:
    with pytest.raises(AccessProblem):
        RemoteJob(system()).pause_jobs([JOB])
