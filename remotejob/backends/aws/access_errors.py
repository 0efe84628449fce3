"""Turns AWS's refusals into an `AccessProblem` that names the call and the remedy.

Both kinds of client check every response here first, so no command ends in a bare `ClientError`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final, Protocol

from remotejob.domain.errors import AccessProblem

DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AWS.SimpleQueueService.AccessDenied",
        # the response to a HEAD request has no body with a better code
        "403",
    }
)
UNKNOWN: Final = frozenset(
    {
        "ExpiredToken",
        "ExpiredTokenException",
        "IncompleteSignature",
        "InvalidAccessKeyId",
        "InvalidClientTokenId",
        "InvalidSignatureException",  # also for a wrong clock: see `_SKEWED_MESSAGE`
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""The credentials are invalid for any call. Source: IAM User Guide, "Troubleshooting IAM in the
console"; each service's "Common Errors"."""

SKEWED: Final = frozenset({"RequestExpired", "RequestInTheFuture", "RequestTimeTooSkewed"})
"""The request was signed too long ago or in the future. Source: Amazon S3 API Reference, "Error
responses"; "Common Errors" of DynamoDB and SQS."""

_SKEWED_MESSAGE: Final = re.compile(r"^Signature (expired|not yet current)\b")
"""How DynamoDB and SQS say it, under the code of a wrong signature."""

REFUSED: Final = DENIED | UNKNOWN | SKEWED

_RESOURCES: Final = ("TableName", "QueueUrl", "Bucket", "Key")


class Client(Protocol):
    """The part of a boto3 client that we use."""

    @property
    def meta(self) -> Any: ...


def explain_refusals(client: Client) -> None:
    """Make a client raise AccessProblem when AWS refuses its credentials."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(
        f"provide-client-params.{service}", _remember, unique_id="remotejob-asked"
    )
    client.meta.events.register(
        f"after-call.{service}", _raise_if_refused, unique_id="remotejob-refusals"
    )


def access_problem(call: str, code: str, message: str, *, on: str = "") -> AccessProblem:
    """The error for a call that AWS refused, such as `dynamodb:PutItem`."""
    what = f"{call}{f' on {on}' if on else ''}"
    if code in SKEWED or (code in UNKNOWN and _SKEWED_MESSAGE.match(message)):
        return AccessProblem(
            f"AWS refused {what}, because this machine's clock, {_now()}, is wrong by more than"
            f" five minutes ({code}: {message}); set it, such as by turning on NTP"
        )
    if code in UNKNOWN:
        return AccessProblem(
            f"AWS does not know the credentials used for {what} ({code}: {message}); renew "
            "them, or set AWS_PROFILE or the keys of this system's account"
        )
    if call == "s3:GetObject":
        # a worker's role has none of the groups' policies
        what += " (a worker reads what its queue's `inputs` and routes in remotejob.toml name)"
    detail = "" if message in ("", "Forbidden", "Access Denied") else f": {message}"
    return AccessProblem(
        f"AWS does not allow these credentials {what} ({code}{detail}); attach the policy of a "
        "group that has this command: the storage stack's outputs name the policies of admin, "
        "manager, creator and worker, and docs/permissions.md lists what each may do"
    )


def _now() -> str:
    return f"{datetime.now(UTC):%Y-%m-%d %H:%M:%S} UTC"


def resource_of(request: Mapping[str, Any]) -> str:
    """The resource a request names, such as its table."""
    return "/".join(str(request[name]) for name in _RESOURCES if isinstance(request.get(name), str))


def _remember(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    context["remotejob"] = resource_of(params)


def _raise_if_refused(parsed: Any, model: Any, context: dict[str, Any], **_: object) -> None:
    error = parsed.get("Error") if isinstance(parsed, dict) else None
    if not error or error.get("Code", "") not in REFUSED:
        return
    raise access_problem(
        f"{model.service_model.signing_name}:{model.name}",
        error["Code"],
        error.get("Message", ""),
        on=context.get("remotejob", ""),
    )
