"""An embedded AWS with things to guard, and requests that no SDK would send."""

from __future__ import annotations

import hashlib
import http.client
import io
import json
import socket
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from botocore.auth import S3SigV4Auth, SigV4Auth, SigV4QueryAuth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from remotejob.local.embedded import EmbeddedAws

JSON: Final = "application/x-amz-json-1.0"
FORM: Final = "application/x-www-form-urlencoded"
SECRET: Final = b"top secret"
TRUST: Final = {
    "Statement": [
        {"Effect": "Allow", "Action": "sts:AssumeRole", "Principal": {"Service": s}}
        for s in ("lambda.amazonaws.com", "ecs-tasks.amazonaws.com")
    ]
}


@dataclass(frozen=True, kw_only=True, slots=True)
class Answered:
    """What came back."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(kw_only=True)
class Sent:
    """A request, in the parts that a trick changes. Headers may come several times."""

    method: str = "POST"
    target: str = "/"
    headers: list[tuple[str, str]] = field(default_factory=list)
    body: bytes = b""


class House:
    """Two of each kind of thing: one that Limited may use, and one that nobody but the
    administrator may."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self.aws = aws
        where = urlsplit(aws.endpoint_url)
        self.host, self.port = str(where.hostname), int(where.port or 0)
        self.administrator = Credentials(
            aws.environment()["AWS_ACCESS_KEY_ID"], aws.environment()["AWS_SECRET_ACCESS_KEY"]
        )
        self._furnish()
        self.nobody = self._person("nobody", [])
        self.limited = self._person("limited", _MAY)
        self.poweruser = self._person(
            "poweruser", [{"Effect": "Allow", "NotAction": "iam:*", "Resource": "*"}]
        )
        self.reader = self._person(
            "reader", [{"Effect": "Allow", "Action": "ssm:*", "Resource": "*"}]
        )

    def guarded(self) -> object:
        """What must not change."""
        aws = self.aws
        listed = aws.client("s3").list_objects_v2(Bucket="house")["Contents"]
        sqs = aws.client("sqs")
        url = sqs.get_queue_url(QueueName="secret")["QueueUrl"]
        count = "ApproximateNumberOfMessages"
        return (
            [one["Key"] for one in listed if not one["Key"].startswith("allowed/")],
            aws.client("s3").get_object_tagging(Bucket="house", Key="allowed/file")["TagSet"],
            sqs.get_queue_attributes(QueueUrl=url, AttributeNames=[count])["Attributes"],
            aws.client("ssm").get_parameter(Name="/secret")["Parameter"]["Value"],
        )

    def _furnish(self) -> None:
        aws = self.aws
        s3, ssm, dynamodb = aws.client("s3"), aws.client("ssm"), aws.client("dynamodb")
        s3.create_bucket(
            Bucket="house", CreateBucketConfiguration={"LocationConstraint": aws.region}
        )
        aws.client("secretsmanager").create_secret(Name="secret", SecretString=SECRET.decode())
        for name in ("allowed", "secret"):
            aws.client("sqs").create_queue(QueueName=name)
            s3.put_object(Bucket="house", Key=f"{name}/file", Body=SECRET, Tagging="a=b")
            ssm.put_parameter(Name=f"/{name}", Value=SECRET.decode(), Type="String")
            dynamodb.create_table(
                TableName=name,
                BillingMode="PAY_PER_REQUEST",
                AttributeDefinitions=[{"AttributeName": "pk", "AttributeType": "S"}],
                KeySchema=[{"AttributeName": "pk", "KeyType": "HASH"}],
            )
            item = {"pk": {"S": "a"}, "v": {"S": SECRET.decode()}}
            dynamodb.put_item(TableName=name, Item=item)
            aws.client("iam").create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(TRUST))

        for name in ("allowed", "secret"):
            self.make_function(name, "def go(e, c): return c.function_name")

    def make_function(self, name: str, code: str, *, timeout: int = 30) -> str:
        packed = io.BytesIO()
        with zipfile.ZipFile(packed, "w") as archive:
            archive.writestr("code.py", code)
        account = "123456789012"
        made = self.aws.client("lambda").create_function(
            FunctionName=name,
            Runtime="python3.13",
            Role=f"arn:aws:iam::{account}:role/secret",
            Handler="code.go",
            Timeout=timeout,
            Code={"ZipFile": packed.getvalue()},
        )
        return str(made["FunctionArn"])

    def _person(self, name: str, statements: list[dict[str, Any]]) -> Credentials:
        iam = self.aws.client("iam")
        iam.create_user(UserName=name)
        if statements:
            policy = {"Version": "2012-10-17", "Statement": statements}
            iam.put_user_policy(UserName=name, PolicyName="may", PolicyDocument=json.dumps(policy))
        key = iam.create_access_key(UserName=name)["AccessKey"]
        return Credentials(key["AccessKeyId"], key["SecretAccessKey"])

    # --- requests --------------------------------------------------------------------------------

    def signed(
        self,
        who: Credentials,
        service: str,
        method: str = "POST",
        target: str = "/",
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        *,
        payload: str | None = None,
        region: str | None = None,
        host: str | None = None,
    ) -> Sent:
        """A request with an honest signature in its Authorization header."""
        request = AWSRequest(
            method,
            f"{self.aws.endpoint_url}{target}",
            data=body,
            headers={"Host": host or f"{self.host}:{self.port}", **(headers or {})},
        )
        if service == "s3":
            _Headers(payload or _hash(body))(who, service, self.aws.region).add_auth(request)
        else:
            SigV4Auth(who, service, region or self.aws.region).add_auth(request)
        pairs = [(name, value) for name, value in request.headers.items() if name != "Host"]
        return Sent(method=method, target=target, headers=pairs, body=body)

    def presigned(
        self,
        who: Credentials,
        service: str,
        method: str = "GET",
        target: str = "/",
        *,
        expires: int = 60,
        payload: str | None = None,
    ) -> Sent:
        """A request with an honest signature in its query."""
        request = AWSRequest(
            method,
            f"{self.aws.endpoint_url}{target}",
            headers={"Host": f"{self.host}:{self.port}"},
        )
        _Query(payload or ("UNSIGNED-PAYLOAD" if service == "s3" else _hash(b"")))(
            who, service, self.aws.region, expires
        ).add_auth(request)
        return Sent(method=method, target=str(request.url).removeprefix(self.aws.endpoint_url))

    def json(
        self, who: Credentials, service: str, operation: str, parameters: Any, path: str = "/"
    ) -> Sent:
        """A signed request of the JSON protocol; parameters may be text."""
        text = parameters if isinstance(parameters, str) else json.dumps(parameters)
        headers = {"Content-Type": JSON, "X-Amz-Target": operation}
        return self.signed(who, service, "POST", path, headers, text.encode())

    def form(self, who: Credentials, service: str, text: str, target: str = "/") -> Sent:
        """A signed request of the query protocol."""
        headers = {"Content-Type": f"{FORM}; charset=utf-8"}
        return self.signed(who, service, "POST", target, headers, text.encode())

    def send(self, sent: Sent, *, host: str | None = None) -> Answered:
        connection = http.client.HTTPConnection(self.host, self.port, timeout=20)
        connection.putrequest(sent.method, sent.target, skip_host=True, skip_accept_encoding=True)
        connection.putheader("Host", host or f"{self.host}:{self.port}")
        for name, value in sent.headers:
            connection.putheader(name, value)
        connection.putheader("Content-Length", str(len(sent.body)))
        connection.endheaders(sent.body)
        answer = connection.getresponse()
        headers = {name.lower(): value for name, value in answer.getheaders()}
        answered = Answered(status=answer.status, headers=headers, body=answer.read())
        connection.close()
        return answered

    def raw(self, sent: Sent, more: Iterable[bytes], *, version: bytes = b"HTTP/1.1") -> Answered:
        """Send a request with more lines in its head, as they are."""
        lines: Sequence[bytes] = [
            f"{sent.method} {sent.target} ".encode() + version,
            f"Host: {self.host}:{self.port}".encode(),
            *(f"{name}: {value}".encode() for name, value in sent.headers),
            *more,
        ]
        with socket.create_connection((self.host, self.port), timeout=20) as connection:
            connection.sendall(b"\r\n".join([*lines, b"", b""]) + sent.body)
            answer = http.client.HTTPResponse(connection, method=sent.method)
            answer.begin()
            headers = {name.lower(): value for name, value in answer.getheaders()}
            return Answered(status=answer.status, headers=headers, body=answer.read())


def _hash(body: bytes) -> str:
    return hashlib.sha256(body).hexdigest()


def _Headers(payload: str) -> Any:  # noqa: N802 (makes a class)
    class Headers(S3SigV4Auth):
        def payload(self, request: Any) -> str:
            return payload

        def _modify_request_before_signing(self, request: Any) -> None:
            super()._modify_request_before_signing(request)  # type: ignore[misc]
            request.headers.replace_header("X-Amz-Content-SHA256", payload)

    return Headers


def _Query(payload: str) -> Any:  # noqa: N802 (makes a class)
    class Query(SigV4QueryAuth):
        def payload(self, request: Any) -> str:
            return payload

    return Query


_ARN: Final = "123456789012"
_MAY: Final[list[dict[str, Any]]] = [
    {
        "Effect": "Allow",
        "Action": ["s3:GetObject", "s3:PutObject", "s3:DeleteObject", "s3:Get*Retention"],
        "Resource": "arn:aws:s3:::house/allowed*",
    },
    {
        "Effect": "Allow",
        "Action": ["dynamodb:GetItem", "dynamodb:Query", "dynamodb:Scan"],
        "Resource": [f"arn:aws:dynamodb:eu-west-1:{_ARN}:table/allowed{x}" for x in ("", "/*")],
    },
    {
        "Effect": "Allow",
        "Action": ["sqs:GetQueueAttributes", "sqs:SendMessage"],
        "Resource": f"arn:aws:sqs:eu-west-1:{_ARN}:allowed",
    },
    {
        "Effect": "Allow",
        "Action": "ssm:GetParameter*",
        "Resource": f"arn:aws:ssm:eu-west-1:{_ARN}:parameter/allowed*",
    },
    {
        "Effect": "Allow",
        "Action": "lambda:InvokeFunction",
        "Resource": f"arn:aws:lambda:eu-west-1:{_ARN}:function:allowed*",
    },
    {
        "Effect": "Allow",
        "Action": ["lambda:CreateFunction", "cloudformation:CreateStack", "s3:PutBucket*"],
        "Resource": "*",
    },
]
