"""Requests are allowed and refused by AWS's rules, with the roles of the template."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from functools import cache
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

from remotejob.local.embedded import EmbeddedAws
from tests.local.helpers import physical

Request = Callable[[Any, dict[str, str]], Any]


@pytest.fixture(scope="module")
def names(aws: EmbeddedAws) -> dict[str, str]:
    """Physical names of what the roles' policies speak of."""
    bucket = physical(aws, "S3::Bucket", "Storage/Uploads")
    for key in ("in/there", "out/there"):
        aws.client("s3").put_object(Bucket=bucket, Key=key, Body=b"x")
    return {
        "bucket": bucket,
        "table": physical(aws, "DynamoDB::Table", "Table"),
        "results": physical(aws, "SQS::Queue", "Storage/Results"),
        "dead": physical(aws, "SQS::Queue", "Storage/Dead"),
    }


@pytest.fixture(scope="module")
def as_role(aws: EmbeddedAws) -> Callable[[str, str], Any]:
    """A client with the permissions of a role of the sample app."""

    @cache
    def client(role: str, service: str) -> Any:
        return aws.client_as(f"arn:aws:iam::{aws.deployment.account}:role/{role}", service)

    return client


def key(pk: str = "p") -> dict[str, Any]:
    return {"pk": {"S": pk}, "sk": {"S": "s"}}


def send(c: Any, n: dict[str, str]) -> Any:
    return c.send_message(QueueUrl=n["dead" if "other" in n else "results"], MessageBody='{"x":1}')


def send_batch(c: Any, n: dict[str, str]) -> Any:
    entries = [{"Id": "1", "MessageBody": '{"x": 1}'}]
    return c.send_message_batch(QueueUrl=n["results"], Entries=entries)


def transact(*kinds: str) -> Request:
    def request(c: Any, n: dict[str, str]) -> Any:
        steps: dict[str, dict[str, Any]] = {
            "Put": {"Item": key("a")},
            "Update": {"Key": key("b"), "UpdateExpression": "REMOVE zzz"},
            "Delete": {"Key": key("c")},
            "ConditionCheck": {
                "Key": key("d"),
                "ConditionExpression": "attribute_not_exists(pk)",
            },
        }
        items = [{kind: {"TableName": n["table"], **steps[kind]}} for kind in kinds]
        return c.transact_write_items(TransactItems=items)

    return request


def query(index: str | None) -> Request:
    def request(c: Any, n: dict[str, str]) -> Any:
        options = {"IndexName": index} if index else {}
        return c.query(
            TableName=n["table"],
            KeyConditionExpression="ak = :a" if index else "pk = :a",
            ExpressionAttributeValues={":a": {"S": "x"}},
            **options,
        )

    return request


def multipart(c: Any, n: dict[str, str]) -> Any:
    where = {"Bucket": n["bucket"], "Key": "in/parts"}
    upload = c.create_multipart_upload(**where)["UploadId"]
    part = c.upload_part(**where, UploadId=upload, PartNumber=1, Body=b"x")
    parts = {"Parts": [{"PartNumber": 1, "ETag": part["ETag"]}]}
    return c.complete_multipart_upload(**where, UploadId=upload, MultipartUpload=parts)


def get(path: str, **options: str) -> Request:
    return lambda c, n: c.get_object(Bucket=n["bucket"], Key=path, **options)["Body"].read()


ALLOWED: list[tuple[str, str, Request]] = [
    ("Sender", "sqs", send),
    ("Sender", "sqs", send_batch),
    ("Consumer", "sqs", lambda c, n: c.receive_message(QueueUrl=n["results"])),
    ("Reader", "s3", get("in/there")),
    ("Reader", "s3", lambda c, n: c.head_object(Bucket=n["bucket"], Key="in/there")),
    ("Reader", "dynamodb", lambda c, n: c.get_item(TableName=n["table"], Key=key())),
    ("Reader", "dynamodb", query("attention")),
    ("Reader", "ssm", lambda c, n: c.get_parameter(Name="/sample/system")),
    ("Writer", "s3", lambda c, n: c.put_object(Bucket=n["bucket"], Key="in/w", Body=b"x" * 99999)),
    ("Writer", "s3", multipart),
    ("Writer", "dynamodb", transact("Put", "Update")),
    ("Lister", "s3", lambda c, n: c.list_objects_v2(Bucket=n["bucket"])),
    ("Lister", "s3", lambda c, n: c.head_bucket(Bucket=n["bucket"])),
    ("Nobody", "sts", lambda c, n: c.get_caller_identity()),
    (
        "Writer",
        "dynamodb",
        lambda c, n: c.batch_write_item(
            RequestItems={n["table"]: [{"PutRequest": {"Item": key("batch")}}]}
        ),
    ),
]

DENIED: list[tuple[str, str, Request]] = [
    ("Nobody", "sqs", send),
    ("Consumer", "sqs", send_batch),
    ("Sender", "sqs", lambda c, n: send(c, {**n, "other": ""})),
    ("Sender", "sqs", lambda c, n: c.receive_message(QueueUrl=n["results"])),
    ("Sender", "sqs", lambda c, n: c.list_queues()),
    ("Reader", "s3", get("out/there")),
    ("Reader", "s3", lambda c, n: c.put_object(Bucket=n["bucket"], Key="in/r", Body=b"x" * 99999)),
    ("Reader", "s3", lambda c, n: c.list_objects_v2(Bucket=n["bucket"])),
    ("Reader", "s3", lambda c, n: c.delete_object(Bucket=n["bucket"], Key="in/there")),
    ("Reader", "dynamodb", query(None)),
    ("Reader", "dynamodb", lambda c, n: c.put_item(TableName=n["table"], Item=key())),
    ("Reader", "ssm", lambda c, n: c.get_parameter(Name="/sample/other")),
    ("Writer", "s3", get("in/there")),
    ("Writer", "dynamodb", transact("Put", "Delete")),
    ("Writer", "dynamodb", transact("ConditionCheck")),
    ("Writer", "dynamodb", query("attention")),
    ("Versions", "s3", get("in/there")),
    ("Nobody", "lambda", lambda c, n: c.list_functions()),
    ("Nobody", "cloudformation", lambda c, n: c.list_stacks()),
    (
        "Writer",
        "s3",
        lambda c, n: c.copy_object(
            Bucket=n["bucket"], Key="in/c", CopySource={"Bucket": n["bucket"], "Key": "in/there"}
        ),
    ),
    (
        "Writer",
        "s3",
        lambda c, n: c.delete_objects(
            Bucket=n["bucket"], Delete={"Objects": [{"Key": "in/there"}]}
        ),
    ),
]


@pytest.mark.parametrize(("role", "service", "request_"), ALLOWED)
def test_policy_written_for_aws_allows(
    as_role: Callable[[str, str], Any],
    names: dict[str, str],
    role: str,
    service: str,
    request_: Request,
) -> None:
    request_(as_role(role, service), names)


@pytest.mark.parametrize(("role", "service", "request_"), DENIED)
def test_what_aws_would_refuse_is_refused(
    as_role: Callable[[str, str], Any],
    names: dict[str, str],
    role: str,
    service: str,
    request_: Request,
) -> None:
    client = as_role(role, service)
    with pytest.raises(ClientError) as denied:
        request_(client, names)
    code = denied.value.response["Error"]["Code"]
    assert code == ("AccessDenied" if service in {"sqs", "s3", "cloudformation"} else code)
    assert code.startswith("AccessDenied")


def test_denial_names_who_wanted_what(
    as_role: Callable[[str, str], Any], names: dict[str, str]
) -> None:
    with pytest.raises(ClientError, match=r"assumed-role/Nobody/as .* perform: sqs:SendMessage"):
        send(as_role("Nobody", "sqs"), names)


def test_version_of_an_object_needs_an_action_of_its_own(
    aws: EmbeddedAws, as_role: Callable[[str, str], Any], names: dict[str, str]
) -> None:
    version = aws.client("s3").head_object(Bucket=names["bucket"], Key="in/there")["VersionId"]
    request = get("in/there", VersionId=version)
    assert request(as_role("Versions", "s3"), names) == b"x"
    with pytest.raises(ClientError, match=r"403|AccessDenied"):
        request(as_role("Reader", "s3"), names)


@pytest.mark.parametrize(("role", "code"), [("Reader", "AccessDenied"), ("Lister", "NoSuchKey")])
def test_missing_object_shows_only_to_those_who_may_list(
    as_role: Callable[[str, str], Any], names: dict[str, str], role: str, code: str
) -> None:
    with pytest.raises(ClientError) as refused:
        get("in/absent")(as_role(role, "s3"), names)
    assert refused.value.response["Error"]["Code"] == code


def test_role_that_does_not_trust_the_caller_cannot_be_assumed(aws: EmbeddedAws) -> None:
    task = aws.deployment.one("AWS::IAM::Role", "Workers/Task/TaskRole").physical_id
    arn = aws.client("iam").get_role(RoleName=task)["Role"]["Arn"]
    with pytest.raises(ClientError, match="does not name the caller"):
        aws.client("sts").assume_role(RoleArn=arn, RoleSessionName="test")


def stranger(aws: EmbeddedAws, **keys: str) -> Any:
    session = boto3.Session(region_name=aws.region, **keys)  # type: ignore[arg-type]
    return session.client("sqs", endpoint_url=aws.endpoint_url, config=Config(proxies={}))


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({"aws_secret_access_key": "wrong"}, "InvalidSignatureException"),
        ({"aws_access_key_id": "AKIAUNKNOWN000000000"}, "UnrecognizedClientException"),
        ({"aws_session_token": "made up"}, "UnrecognizedClientException"),
    ],
)
def test_wrong_credentials_are_refused(aws: EmbeddedAws, change: dict[str, str], code: str) -> None:
    right = aws.environment()
    keys = {
        "aws_access_key_id": right["AWS_ACCESS_KEY_ID"],
        "aws_secret_access_key": right["AWS_SECRET_ACCESS_KEY"],
        **change,
    }
    with pytest.raises(ClientError) as refused:
        stranger(aws, **keys).list_queues()
    assert refused.value.response["Error"]["Code"] == code


def test_presigned_url_works_until_it_is_changed(aws: EmbeddedAws, names: dict[str, str]) -> None:
    import urllib.error
    import urllib.request

    name = f"in/{uuid.uuid4().hex} ü.txt"
    aws.client("s3").put_object(Bucket=names["bucket"], Key=name, Body=b"signed")
    url = aws.client("s3", config=Config(signature_version="s3v4")).generate_presigned_url(
        "get_object", Params={"Bucket": names["bucket"], "Key": name}
    )
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    with opener.open(url) as answer:
        assert answer.read() == b"signed"
    with pytest.raises(urllib.error.HTTPError, match="403") as refused:
        opener.open(url.replace("X-Amz-Expires=3600", "X-Amz-Expires=9999"))
    refused.value.close()


def test_requests_are_counted_by_role(
    aws: EmbeddedAws, as_role: Callable[[str, str], Any], names: dict[str, str]
) -> None:
    sender = as_role("Sender", "sqs")
    aws.reset_requests()
    send_batch(sender, names)
    send_batch(sender, names)
    assert aws.requests()["sqs", "SendMessageBatch", "Sender"] == 2
