"""How a service of AWS is asked, whatever carries the request there and back.

There are two ways, with the same answers and the same errors: `Boto3Service`, the reference, which
leaves all to boto3's client; and `direct.DirectService`, which signs and sends by itself and costs
a fifth. Tests run both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from botocore import xform_name

from remotejob.backends.aws.access_errors import Client, explain_refusals


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """What tells one JSON service from another."""

    service: str
    """As it is signed for, and as botocore's events name it."""
    target: str
    """What stands before the operation in X-Amz-Target."""
    headers: Mapping[str, str]
    polls: frozenset[str] = frozenset()
    """Operations that wait for something to come."""


DYNAMODB: Final = Api(
    service="dynamodb",
    target="DynamoDB_20120810",
    headers={"Content-Type": "application/x-amz-json-1.0"},
)
SQS: Final = Api(
    service="sqs",
    target="AmazonSQS",
    # errors then have the codes that they had before SQS spoke JSON, as boto3's have
    headers={"Content-Type": "application/x-amz-json-1.0", "x-amzn-query-mode": "true"},
    polls=frozenset({"ReceiveMessage"}),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """How long to wait, in seconds."""

    connect: float
    read: float
    """For each part of an answer, the first included."""
    poll: float
    """The same where the request waits for something to come."""


class Service(Protocol):
    """One service of AWS."""

    def call(self, operation: str, request: Mapping[str, Any]) -> Any:
        """The answer to a request, both as the service's API reference has them.

        Raises: botocore's ClientError, with what else the answer says beside its `Error`;
        AccessProblem, where the credentials do not do; botocore's BotoCoreError, when there was no
        answer however often it was tried.
        """
        ...


class Boto3Service:
    """A service, asked by boto3's own client."""

    def __init__(self, client: Client) -> None:
        explain_refusals(client)
        self._client: Final = client

    def call(self, operation: str, request: Mapping[str, Any]) -> Any:
        return getattr(self._client, xform_name(operation))(**request)
