"""Calls DynamoDB and SQS without a boto3 client.

boto3's client takes four fifths of a job's CPU time. This one does only what these two services
need: a JSON body, a signature, botocore's retry rules and its errors. It neither builds requests
nor interprets responses. Measurements are in docs/performance.md.

Source: Smithy, "AWS JSON 1.0 protocol"; AWS General Reference, "Error retries and exponential
backoff".
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Mapping
from datetime import timedelta
from itertools import count
from typing import Any, Final

from botocore.exceptions import ClientError, ConnectionClosedError, HTTPClientError
from botocore.exceptions import ConnectionError as NoConnection
from botocore.retries.quota import RetryQuota
from botocore.retries.standard import (  # type: ignore[attr-defined]  # the stubs are behind
    ExponentialBackoff,
    OrRetryChecker,
    RetryContext,
    RetryQuotaChecker,
    ThrottledRetryableChecker,
    ThrottlingErrorDetector,
    ThrottlingStatusCodeChecker,
    TransientRetryableChecker,
)

from remotejob.backends.aws.access_errors import REFUSED, access_problem, resource_of
from remotejob.backends.aws.direct.connections import Request
from remotejob.backends.aws.direct.sender import Sender
from remotejob.backends.aws.service import Api, Timeouts
from remotejob.domain.throttling import is_key_throttled
from remotejob.ports import Clock


class _KeyThrottledChecker:
    """What botocore's standard retry mode does not know."""

    def is_retryable(self, context: RetryContext) -> bool:
        return is_key_throttled(context.get_error_code())


_RETRYABLE: Final = OrRetryChecker(
    [
        TransientRetryableChecker(),
        ThrottledRetryableChecker(),
        ThrottlingStatusCodeChecker(),
        _KeyThrottledChecker(),
    ]
)
"""botocore's standard retry mode, without the checkers that need a service model."""

_THROTTLED: Final = ThrottlingErrorDetector(None)
"""Goes by error code and status. Only boto3's own events need the adapter, so it is None."""

_encoded: Final = json.JSONEncoder(separators=(",", ":")).encode
"""json.dumps would create an encoder at each call."""


class DirectService:
    """Calls a service over our own HTTP client. Thread-safe."""

    def __init__(
        self, api: Api, sender: Sender, *, timeouts: Timeouts, attempts: int, clock: Clock
    ) -> None:
        """`attempts` includes the first."""
        self._api = api
        self._sender = sender
        self._timeouts = timeouts
        self.url: Final = sender.url
        self._attempts = attempts
        self._clock = clock
        self._backoff = ExponentialBackoff(service_name=api.service, throttling_detector=_THROTTLED)
        # limits retries in an outage
        self._quota = RetryQuotaChecker(RetryQuota(), _THROTTLED)

    def call(self, operation: str, request: Mapping[str, Any]) -> Any:
        body = _encoded(request).encode()
        # shared between the tries of one request
        tries: dict[str, Any] = {}
        for attempt in count(1):
            answer: Any = None
            error: Exception
            try:
                answer = self._attempt(operation, body)
                if answer.status_code == 200:
                    said = self._read(answer)
                    self._quota.release_retry_quota(tries, answer)  # type: ignore[arg-type]
                    return said
                parsed = _parsed(answer, retries=attempt - 1, last=attempt == self._attempts)
                error = ClientError(parsed, operation)
            except (HTTPClientError, NoConnection) as problem:
                error, parsed = problem, None
            context = RetryContext(
                attempt_number=attempt,
                http_response=answer,
                parsed_response=parsed,
                caught_exception=error if parsed is None else None,
                request_context=tries,
            )
            if not self._should_retry(context):
                self._raise(error, parsed, operation, request)
            # jittered, because other clients fail at the same moment
            self._clock.sleep(timedelta(seconds=self._backoff.delay_amount(context)))
        raise AssertionError

    def _attempt(self, operation: str, body: bytes) -> Any:
        target = f"{self._api.target}.{operation}"
        request = Request("POST", "/", {**self._api.headers, "X-Amz-Target": target}, body)
        read_s = self._timeouts.poll if operation in self._api.polls else self._timeouts.read
        return self._sender.ask(operation, request, read_s=read_s)

    def _read(self, answer: Any) -> Any:
        """Parse a successful response.

        Raises: ConnectionClosedError, when the response is damaged.
        Source: Amazon DynamoDB, "DynamoDB low-level API", x-amz-crc32.
        """
        expected = answer.headers.get("x-amz-crc32")
        try:
            if expected is None or int(expected) == zlib.crc32(answer.content):
                return json.loads(answer.content)
            problem = "the response does not match its checksum"
        except ValueError as unreadable:
            problem = str(unreadable)
        raise ConnectionClosedError(endpoint_url=self.url, error=problem)

    def _should_retry(self, context: RetryContext) -> bool:
        return bool(
            context.attempt_number < self._attempts
            and _RETRYABLE.is_retryable(context)
            and self._quota.acquire_retry_quota(context)
        )

    def _raise(
        self, error: Exception, parsed: Any, operation: str, request: Mapping[str, Any]
    ) -> None:
        said = parsed["Error"] if parsed else {}
        if said.get("Code") in REFUSED:
            call = f"{self._api.service}:{operation}"
            raise access_problem(call, said["Code"], said["Message"], on=resource_of(request))
        raise error


def _parsed(answer: Any, *, retries: int, last: bool) -> Any:
    """An error response in the form of boto3's clients.

    Source: Smithy, "AWS JSON 1.0 protocol", operation error serialization; and for the header of
    SQS, "AWS Query compatible".
    """
    try:
        said = json.loads(answer.content)
    except ValueError:
        said = None
    if not isinstance(said, dict):
        # a damaged response, or one from a proxy that does not speak JSON
        said = {}
    code = str(answer.headers.get("x-amzn-errortype") or said.get("__type") or answer.status_code)
    code = code.split(":")[0].rpartition("#")[2]
    older = answer.headers.get("x-amzn-query-error")
    if older:
        code = older.split(";")[0]
    message = said.pop("message", None) or said.pop("Message", None) or ""
    return {
        **said,
        "Error": {"Code": code, "Message": message},
        "ResponseMetadata": {
            "HTTPStatusCode": answer.status_code,
            "RequestId": answer.headers.get("x-amzn-requestid", ""),
            "RetryAttempts": retries,
            **({"MaxAttemptsReached": True} if last else {}),
        },
    }
