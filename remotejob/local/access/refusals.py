"""Format refusals like each AWS protocol does, so that SDKs raise the right errors."""

from __future__ import annotations

import json
from dataclasses import dataclass
from xml.sax.saxutils import escape

#: Error code for "not allowed" by service, where it differs from the protocol's default.
_DENIED = {"sqs": "AccessDenied", "s3": "AccessDenied"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Refusal:
    """An error response, sent instead of carrying out the request."""

    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()


def denied(service: str, message: str, *, protocol: str) -> Refusal:
    """The refusal for a known caller without the permission."""
    default = "AccessDeniedException" if protocol in ("json", "rest-json") else "AccessDenied"
    status = 403 if service != "dynamodb" else 400
    return refusal(_DENIED.get(service, default), message, status=status, protocol=protocol)


def refusal(code: str, message: str, *, status: int, protocol: str) -> Refusal:
    """A refusal in the format of the protocol."""
    if protocol in ("json", "rest-json"):
        return Refusal(
            status=status,
            content_type="application/x-amz-json-1.0",
            body=json.dumps({"__type": code, "message": message, "Message": message}).encode(),
            headers=(
                ("x-amzn-errortype", code),
                ("x-amzn-query-error", f"{code};Sender"),
            ),
        )
    error = f"<Code>{code}</Code><Message>{escape(message)}</Message>"
    if protocol == "s3":
        document = f"<Error>{error}</Error>"
    elif protocol == "ec2":
        document = f"<Response><Errors><Error>{error}</Error></Errors></Response>"
    else:
        document = f"<ErrorResponse><Error><Type>Sender</Type>{error}</Error></ErrorResponse>"
    return Refusal(
        status=status,
        content_type="application/xml",
        body=f'<?xml version="1.0" encoding="UTF-8"?>{document}'.encode(),
    )
