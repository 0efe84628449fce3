"""What AWS does not allow, said as an `AccessProblem` that names the call and the remedy.

Whatever makes the requests of a system looks at what came back before anybody else does, so that
no command, whatever it was doing, ends in a bare `ClientError`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, Protocol

from remotejob.domain.errors import AccessProblem

DENIED: Final = frozenset(
    {
        "AccessDenied",
        "AccessDeniedException",
        "AWS.SimpleQueueService.AccessDenied",
        # a HEAD request has no body to say more in
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
        "InvalidSignatureException",
        "InvalidToken",
        "MissingAuthenticationToken",
        "MissingAuthenticationTokenException",
        "SignatureDoesNotMatch",
        "UnrecognizedClientException",
    }
)
"""The credentials are no good, whatever is asked for. Source: IAM User Guide, "Troubleshooting IAM
in the console"; each service's "Common Errors"."""

_WHERE: Final = ("TableName", "QueueUrl", "Bucket", "Key")


class Client(Protocol):
    """A boto3 client, as far as it matters here."""

    @property
    def meta(self) -> Any: ...


def explain_refusals(client: Client) -> None:
    """Have a client raise AccessProblem where AWS refuses its credentials."""
    service = client.meta.service_model.service_id.hyphenize()
    client.meta.events.register(
        f"provide-client-params.{service}", _remember, unique_id="remotejob-asked"
    )
    client.meta.events.register(f"after-call.{service}", _look, unique_id="remotejob-refusals")


def access_problem(call: str, code: str, message: str, *, on: str = "") -> AccessProblem:
    """The error for a call that AWS did not allow, such as `dynamodb:PutItem`."""
    what = f"{call}{f' on {on}' if on else ''}"
    if code in UNKNOWN:
        return AccessProblem(
            f"AWS does not know the credentials that ask for {what} ({code}: {message}); renew "
            "them, or set AWS_PROFILE or the keys of this system's account"
        )
    said = "" if message in ("", "Forbidden", "Access Denied") else f": {message}"
    return AccessProblem(
        f"AWS does not allow these credentials {what} ({code}{said}); attach the policy of a group "
        "that has this command: the storage stack's outputs name those of admin, manager, creator "
        "and worker, and docs/permissions.md says what each may do"
    )


def what_of(request: Mapping[str, Any]) -> str:
    """What a request is about, such as its table."""
    return "/".join(str(request[name]) for name in _WHERE if isinstance(request.get(name), str))


def _remember(params: dict[str, Any], context: dict[str, Any], **_: object) -> None:
    context["remotejob"] = what_of(params)


def _look(parsed: Any, model: Any, context: dict[str, Any], **_: object) -> None:
    error = parsed.get("Error") if isinstance(parsed, dict) else None
    if not error or error.get("Code", "") not in DENIED | UNKNOWN:
        return
    raise access_problem(
        f"{model.service_model.signing_name}:{model.name}",
        error["Code"],
        error.get("Message", ""),
        on=context.get("remotejob", ""),
    )
