"""Calling an AWS service, through boto3 or directly.

Both give the same answers and errors: `Boto3Service`, the reference, uses boto3's client;
`direct.DirectService` signs and sends requests itself at a fifth of the cost. Tests run both.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Protocol

from botocore import xform_name

from remotejob.backends.aws.access_errors import Client, explain_refusals


@dataclass(frozen=True, kw_only=True, slots=True)
class Api:
    """What distinguishes one JSON service from another."""

    service: str
    """Its name in signatures and in botocore's events."""
    target: str
    """The prefix of the operation in X-Amz-Target."""
    headers: Mapping[str, str]
    polls: frozenset[str] = frozenset()
    """Operations that long-poll."""


DYNAMODB: Final = Api(
    service="dynamodb",
    target="DynamoDB_20120810",
    headers={"Content-Type": "application/x-amz-json-1.0"},
)
SQS: Final = Api(
    service="sqs",
    target="AmazonSQS",
    # keeps the error codes that SQS used before it spoke JSON, as boto3 does
    headers={"Content-Type": "application/x-amz-json-1.0", "x-amzn-query-mode": "true"},
    polls=frozenset({"ReceiveMessage"}),
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeouts:
    """Timeouts of a request, in seconds."""

    connect: float
    read: float
    """For each part of a response, including the first."""
    poll: float
    """The same for operations that long-poll."""


class Service(Protocol):
    """One AWS service."""

    def call(self, operation: str, request: Mapping[str, Any]) -> Any:
        """Send a request and return the response, both shaped as in the API reference.

        Raises: botocore's ClientError, with all fields of the response; AccessProblem, when AWS
        refuses the credentials; botocore's BotoCoreError, when no try got a response.
        """
        ...


class Boto3Service:
    """Calls a service through boto3's client."""

    def __init__(self, client: Client) -> None:
        explain_refusals(client)
        self._client: Final = client

    def call(self, operation: str, request: Mapping[str, Any]) -> Any:
        return getattr(self._client, xform_name(operation))(**request)
