"""Build the request that moto gets, from nothing but what was read and judged."""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import unquote, urlencode

from moto.core.request import PRESERVED_HEADER_NAMES_ENVIRON_KEY

from remotejob.local.access import reading, s3_requests
from remotejob.local.access.calls import Call
from remotejob.local.access.signature import Signature
from remotejob.local.http_head import Head
from remotejob.local.keep_alive import HEAD

JUDGED: Final = "remotejob.judged"
"""Key of the `Judged` in the WSGI environment."""

_ALWAYS: Final = frozenset({"content-type", "x-amz-target"})
_S3_ALWAYS: Final = frozenset(
    {
        "cache-control", "content-disposition", "content-encoding", "content-language",
        "content-md5", "content-type", "expires", "if-match", "if-modified-since", "if-none-match",
        "if-unmodified-since", "origin", "range", "x-amz-content-sha256",
        "x-amz-decoded-content-length", "x-amz-sdk-checksum-algorithm", "x-amz-trailer",
    }
)  # fmt: skip
_CHECKSUM: Final = "x-amz-checksum-"


@dataclass(frozen=True, kw_only=True, slots=True)
class Judged:
    """What moto must do with a request, and nothing else."""

    service: str
    """The SDK's name of the service."""
    operation: str
    parameters: Mapping[str, list[str]]
    """Parameters of the query, or of the form."""
    form: bool
    """Whether the body is a form."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Judgement:
    """A request that its caller may make."""

    route: reading.Route
    call: Call
    signed: Signature
    who: str
    """Name of the role or user."""
    unless_missing: str | None
    """If the object that it asks for does not exist, refuse it with this message."""


def forward(environ: Mapping[str, Any], judgement: Judgement) -> dict[str, Any]:
    """The WSGI environment for moto. Raises: BadCall."""
    head: Head = environ[HEAD]
    found, call, signed = judgement.route, judgement.call, judgement.signed
    form = found.operation is None
    body = call.body
    if form:
        fields = {**call.parameters, "Action": call.operation}
        body = urlencode(fields).encode()
        parameters = {name: [value] for name, value in fields.items()}
    else:
        parameters = dict(call.query) if found.protocol != "json" else {}
        body = s3_requests.body_of(call) if found.protocol == "s3" else body
    path, query = reading.path_of(found), reading.query_of(found)
    target = f"{path}?{query}" if query else path
    scope = f"{signed.access_key_id}/{signed.date}/{signed.region}/{signed.service}/aws4_request"
    made: dict[str, Any] = {
        **{name: value for name, value in environ.items() if not name.startswith("remotejob.")},
        "REQUEST_METHOD": "POST" if form else head.method,
        "PATH_INFO": unquote(path).encode().decode("latin-1"),
        "QUERY_STRING": query,
        "REQUEST_URI": target,
        "RAW_URI": target,
        "HTTP_HOST": f"{environ['SERVER_NAME']}:{environ['SERVER_PORT']}",
        "HTTP_AUTHORIZATION": (
            f"AWS4-HMAC-SHA256 Credential={scope}, SignedHeaders=host, Signature={'0' * 64}"
        ),
        "CONTENT_LENGTH": str(len(body)),
        "wsgi.input": io.BytesIO(body),
        JUDGED: Judged(
            service=found.service.name, operation=call.operation, parameters=parameters, form=form
        ),
    }
    names: dict[str, str] = {}
    for name, value in _headers(found, call):
        key = name.upper().replace("-", "_")
        if key != "CONTENT_TYPE":
            key = f"HTTP_{key}"
        if "_" in name:
            names[key] = name
        made[key] = value
    if form:
        made["CONTENT_TYPE"] = f"{reading.FORM}; charset=utf-8"
    if names:
        made[PRESERVED_HEADER_NAMES_ENVIRON_KEY] = names
    return made


def _headers(found: reading.Route, call: Call) -> list[tuple[str, str]]:
    operation = found.operation
    if operation is None:
        return []
    if found.protocol == "json":
        return [(name, value) for name, value in call.headers.items() if name in _ALWAYS]
    s3 = found.protocol == "s3"
    always = _S3_ALWAYS if s3 else _ALWAYS
    kept = [
        (name, value)
        for name, value in call.headers.items()
        if name in always
        or name in operation.headers
        or (s3 and name.startswith(_CHECKSUM))
        or name.startswith(operation.header_prefixes)
    ]
    return s3_requests.headers_of(kept) if s3 else kept
