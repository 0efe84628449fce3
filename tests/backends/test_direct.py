"""A service asked directly: tried again as botocore would, and its errors are botocore's."""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from datetime import timedelta
from io import BytesIO
from typing import Any, NamedTuple

import pytest
from botocore.awsrequest import AWSResponse
from botocore.compat import HTTPHeaders
from botocore.exceptions import (
    ClientError,
    ConnectionClosedError,
    EndpointConnectionError,
    NoCredentialsError,
)
from botocore.hooks import HierarchicalEmitter

from remotejob import AccessProblem
from remotejob.backends.aws.direct.connections import Connections
from remotejob.backends.aws.direct.json_service import DirectService
from remotejob.backends.aws.direct.sender import Sender
from remotejob.backends.aws.service import DYNAMODB, SQS, Api, Timeouts
from remotejob.testing import FakeClock

URL = "http://127.0.0.1:9/"
ATTEMPTS = 4
GET = {"TableName": "jobs", "Key": {"pk": {"S": "1"}}}


class Frozen(NamedTuple):
    access_key: str
    secret_key: str = "secret"
    token: str | None = None


class Keys:
    """Credentials that are renewed when the test says so."""

    def __init__(self) -> None:
        self.access_key = "AKID1"

    def get_frozen_credentials(self) -> Frozen:
        return Frozen(self.access_key)


class Raw(BytesIO):
    def stream(self, **_: object) -> Iterator[bytes]:
        yield self.getvalue()


class Aws:
    """Answers each attempt with the next of the answers; the last one for ever."""

    def __init__(self, *answers: object) -> None:
        self._answers = list(answers)
        self.requests: list[Any] = []

    def __call__(self, request: Any, **_: object) -> Any:
        self.requests.append(request)
        answer = self._answers.pop(0) if len(self._answers) > 1 else self._answers[0]
        if isinstance(answer, Exception):
            raise answer
        return answer


def answer(
    status: int, body: object = b"{}", headers: Mapping[str, str] | None = None
) -> AWSResponse:
    content = body if isinstance(body, bytes) else json.dumps(body).encode()
    told = HTTPHeaders()
    for name, value in (headers or {}).items():
        told[name] = value
    return AWSResponse(URL, status, told, Raw(content))


def error(name: str, status: int = 400, **more: object) -> AWSResponse:
    body = {"__type": f"com.amazonaws.dynamodb.v20120810#{name}", "message": "why", **more}
    return answer(status, body)


@pytest.fixture
def keys() -> Keys:
    return Keys()


def service(aws: Aws, clock: FakeClock, keys: Keys | None, api: Api = DYNAMODB) -> DirectService:
    events = HierarchicalEmitter()
    events.register("before-send", aws)
    sender = Sender(
        api.service,
        url=URL,
        connections=Connections(URL, connect_s=1, ca_bundle=""),
        region="eu-west-1",
        credentials=keys,
        events=events,
        user_agent="tests",
        clock=clock,
    )
    timeouts = Timeouts(connect=1, read=1, poll=1)
    return DirectService(api, sender, timeouts=timeouts, attempts=ATTEMPTS, clock=clock)


def test_an_answer_is_what_the_service_said(clock: FakeClock, keys: Keys) -> None:
    aws = Aws(answer(200, {"Item": {"pk": {"S": "1"}}}))

    assert service(aws, clock, keys).call("GetItem", GET) == {"Item": {"pk": {"S": "1"}}}

    (request,) = aws.requests
    assert (request.method, request.url) == ("POST", URL)
    assert json.loads(request.body) == GET
    assert request.headers["X-Amz-Target"] == "DynamoDB_20120810.GetItem"
    assert "Credential=AKID1/" in request.headers["Authorization"]
    assert "/eu-west-1/dynamodb/aws4_request" in request.headers["Authorization"]


PASSING = {
    "an error of the service": error("InternalServerError", 500),
    "a gateway that speaks no JSON": answer(503, b"<html>busy</html>"),
    "throttled": error("ProvisionedThroughputExceededException"),
    "too many requests": error("ThrottlingException"),
    "KMS throttled it": error("KMS.ThrottlingException"),
    "KMS throttled it, as the model has it": error("KmsThrottled"),
    "no connection": EndpointConnectionError(endpoint_url=URL),
    "no answer": ConnectionClosedError(endpoint_url=URL),
    "an answer that came to harm": answer(200, b'{"Item', {"x-amz-crc32": "1"}),
    "an answer that is no JSON": answer(200, b"<html>sign in</html>"),
    "a checksum that is none": answer(200, b"{}", {"x-amz-crc32": "x"}),
    "a status that says so alone": answer(429, b""),
}


@pytest.mark.parametrize("passing", PASSING.values(), ids=PASSING)
def test_what_passes_is_tried_again_after_a_while(
    clock: FakeClock, keys: Keys, passing: object
) -> None:
    aws = Aws(*[passing] * (ATTEMPTS - 1), answer(200, {"Item": {}}))
    began = clock.now_ms()

    assert service(aws, clock, keys).call("GetItem", GET) == {"Item": {}}

    assert len(aws.requests) == ATTEMPTS
    assert clock.now_ms() > began


def test_a_service_that_throttles_is_given_longer(clock: FakeClock, keys: Keys) -> None:
    waited: list[int] = []
    for passing in (error("InternalServerError", 500), error("ThrottlingException")):
        began = clock.now_ms()
        for _ in range(10):
            aws = Aws(*[passing] * (ATTEMPTS - 1), answer(200))
            service(aws, clock, keys).call("GetItem", GET)
        waited.append(clock.now_ms() - began)

    assert waited[1] > 5 * waited[0]


def test_it_waits_as_long_as_asked(clock: FakeClock, keys: Keys) -> None:
    body = {"__type": "ThrottlingException", "message": "why"}
    aws = Aws(answer(400, body, {"x-amz-retry-after": "4000"}), answer(200))
    began = clock.now_ms()

    service(aws, clock, keys).call("GetItem", GET)

    assert clock.now_ms() - began >= 4000


def test_what_does_not_pass_is_raised_in_the_end(clock: FakeClock, keys: Keys) -> None:
    aws = Aws(error("InternalServerError", 500))

    with pytest.raises(ClientError, match=r"InternalServerError.*GetItem.*reached max") as it:
        service(aws, clock, keys).call("GetItem", GET)

    assert len(aws.requests) == ATTEMPTS
    assert it.value.response["ResponseMetadata"]["RetryAttempts"] == ATTEMPTS - 1


def test_a_lost_connection_is_raised_as_botocore_raises_it(clock: FakeClock, keys: Keys) -> None:
    aws = Aws(ConnectionClosedError(endpoint_url=URL))

    with pytest.raises(ConnectionClosedError):
        service(aws, clock, keys).call("GetItem", GET)

    assert len(aws.requests) == ATTEMPTS


def test_an_answer_that_is_whole_passes_its_check(clock: FakeClock, keys: Keys) -> None:
    content = b'{"Item":{}}'
    aws = Aws(answer(200, content, {"x-amz-crc32": str(zlib.crc32(content))}))

    assert service(aws, clock, keys).call("GetItem", GET) == {"Item": {}}


@pytest.mark.refused_by_aws
def test_a_refusal_is_raised_at_once_with_all_that_it_says(clock: FakeClock, keys: Keys) -> None:
    aws = Aws(error("ConditionalCheckFailedException", Item={"pk": {"S": "1"}}))

    with pytest.raises(ClientError) as it:
        service(aws, clock, keys).call("PutItem", GET)

    assert len(aws.requests) == 1
    said: Any = it.value.response
    assert said["Error"] == {"Code": "ConditionalCheckFailedException", "Message": "why"}
    assert said["Item"] == {"pk": {"S": "1"}}


@pytest.mark.refused_by_aws
def test_errors_of_queues_have_the_codes_they_have_always_had(clock: FakeClock, keys: Keys) -> None:
    older = {"x-amzn-query-error": "AWS.SimpleQueueService.NonExistentQueue;Sender"}
    body = {"__type": "com.amazonaws.sqs#QueueDoesNotExist", "message": "gone"}
    aws = Aws(answer(400, body, older))

    with pytest.raises(ClientError) as it:
        service(aws, clock, keys, SQS).call("SendMessage", {})

    assert it.value.response["Error"]["Code"] == "AWS.SimpleQueueService.NonExistentQueue"
    assert aws.requests[0].headers["x-amzn-query-mode"] == "true"


def test_what_the_credentials_may_not_do_is_said_with_the_remedy(
    clock: FakeClock, keys: Keys
) -> None:
    aws = Aws(error("AccessDeniedException"))

    with pytest.raises(AccessProblem, match="dynamodb:GetItem on jobs"):
        service(aws, clock, keys).call("GetItem", GET)


def test_credentials_that_were_renewed_are_used_within_a_second(
    clock: FakeClock, keys: Keys
) -> None:
    aws = Aws(answer(200))
    asked = service(aws, clock, keys)
    asked.call("GetItem", GET)
    keys.access_key = "AKID2"
    clock.advance(timedelta(seconds=1))

    asked.call("GetItem", GET)

    used = [request.headers["Authorization"] for request in aws.requests]
    assert ["Credential=AKID1/" in used[0], "Credential=AKID2/" in used[1]] == [True, True]


def test_without_credentials_nothing_is_sent(clock: FakeClock) -> None:
    aws = Aws(answer(200))

    with pytest.raises(NoCredentialsError):
        service(aws, clock, None).call("GetItem", GET)

    assert aws.requests == []


def test_in_an_outage_few_requests_are_sent_more_than_once(clock: FakeClock, keys: Keys) -> None:
    aws = Aws(error("InternalServerError", 500))
    asked = service(aws, clock, keys)

    for _ in range(200):
        with pytest.raises(ClientError):
            asked.call("GetItem", GET)

    # 500 of quota at 14 a retry
    assert len(aws.requests) == 200 + 500 // 14
