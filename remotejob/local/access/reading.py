"""Read a request once: which operation of which service it is, with which parameters.

Whatever a second reader could understand otherwise is refused. What is read here is judged, and
`forward` builds the request that moto gets from it, so moto cannot read anything else.

Source: Smithy, "AWS JSON 1.0 protocol", "AWS Query protocol", "AWS restJson1 protocol", "AWS
restXml protocol"; Amazon S3 API Reference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import quote, unquote

from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException

from remotejob.local.access import operations, s3_requests, signature
from remotejob.local.access.calls import Call
from remotejob.local.http_head import MOST_CONTENT_BYTES, Head

FORM: Final = "application/x-www-form-urlencoded"
_JSON: Final = re.compile(r"application/x-amz-json-1\.[01](; ?charset=utf-8)?", re.IGNORECASE)
_LABEL: Final = re.compile(r"\{(.+?)\+?\}")
_QUEUE_PATH: Final = re.compile(r"/[0-9]{12}/[A-Za-z0-9_-]{1,80}(?:\.fifo)?")
_MEBIBYTE: Final = 1 << 20
_MOST_BYTES: Final = {
    "dynamodb": 32 * _MEBIBYTE,
    "lambda": 100 * _MEBIBYTE,
    "s3": MOST_CONTENT_BYTES,
}
_MOST_BYTES_ELSEWHERE: Final = 16 * _MEBIBYTE
_IGNORED: Final = frozenset(
    {"x-amz-checksum-mode", "x-amz-sdk-checksum-algorithm", "x-amz-user-agent"}
)
"""What some SDKs add to the query of a presigned URL."""


class Unreadable(Exception):
    """The request is malformed, means nothing here, or could mean two things."""

    def __init__(self, code: str, message: str, *, protocol: str, status: int = 400) -> None:
        super().__init__(message)
        self.code: Final = code
        self.protocol: Final = protocol
        self.status: Final = status


@dataclass(frozen=True, kw_only=True, slots=True)
class Route:
    """What the head of a request says: where it goes, before its body is read."""

    service: operations.Service
    protocol: str
    operation: operations.Operation | None
    """None as long as only the body can say it."""
    labels: Mapping[str, str]
    fields: list[tuple[str, str]]
    """The query, without the signature."""
    most_bytes: int


def query_fields(head: Head) -> list[tuple[str, str]]:
    """The names and values of a request's query. Raises: Unreadable."""
    try:
        return signature.fields_of(head.query)
    except ValueError as problem:
        raise Unreadable("InvalidRequest", str(problem), protocol="s3") from None


def route(head: Head, signed: signature.Signature, fields: list[tuple[str, str]]) -> Route:
    """Find the operation of a request. Raises: Unreadable."""
    target = head.headers.get("x-amz-target")
    service = operations.service(signed.service)
    if service is None:
        raise Unreadable(
            "UnknownService",
            f"the embedded AWS has no service {signed.service!r}; "
            f"it has: {', '.join(sorted(operations.SERVED))}",
            protocol="query" if target is None else "json",
            status=404,
        )
    if signed.expires_s is not None:
        names = {name for name, _ in fields if name.startswith("X-Amz-")} | _IGNORED
        fields = [field for field in fields if field[0] not in names]
    rest = not service.protocols & {"json", "query", "ec2"}
    if rest:
        protocol = "s3" if service.name == "s3" else "rest-json"
    elif target is not None and "json" in service.protocols:
        protocol = "json"
    else:
        protocol = "ec2" if "ec2" in service.protocols else "query"
    if protocol != "s3" and "content-encoding" in head.headers:
        message = "the embedded AWS takes no encoded bodies"
        raise Unreadable("InvalidRequest", message, protocol=protocol, status=415)
    labels: Mapping[str, str] = {}
    found: operations.Operation | None = None
    if rest:
        found, labels = _rest(service, protocol, head, target, fields)
    elif protocol == "json":
        found = _json(service, head, target, fields)
    else:
        _check_form(service, protocol, head, target, fields)
    most = _MOST_BYTES.get(service.name, _MOST_BYTES_ELSEWHERE)
    return Route(
        service=service,
        protocol=protocol,
        operation=found,
        labels=labels,
        fields=fields,
        most_bytes=most,
    )


def _json(
    service: operations.Service,
    head: Head,
    target: str | None,
    fields: list[tuple[str, str]],
) -> operations.Operation:
    name = service.targets.get(target or "")
    if name is None:
        message = f"{service.name} has no operation {str(target)[:200]!r}"
        raise Unreadable("UnknownOperationException", message, protocol="json")
    _check_rpc(service, "json", head)
    if fields or not _JSON.fullmatch(head.headers.get("content-type", "")):
        message = "a request with X-Amz-Target has a body of application/x-amz-json and no query"
        raise Unreadable("SerializationException", message, protocol="json")
    return operations.operation(service.name, name)


def _check_form(
    service: operations.Service,
    protocol: str,
    head: Head,
    target: str | None,
    fields: list[tuple[str, str]],
) -> None:
    kind = head.headers.get("content-type", "").partition(";")[0].strip().lower()
    posted = head.method == "POST" and kind == FORM and not fields
    got = head.method == "GET" and head.length == 0 and bool(fields) and kind in ("", FORM)
    if target is not None or not (posted or got) or protocol not in service.protocols:
        message = f"send the Action to {service.name} in a form or a query, and nowhere else"
        raise Unreadable("MalformedQueryString", message, protocol=protocol)
    if posted:
        _check_rpc(service, protocol, head)
    elif head.path != "/":
        raise Unreadable("InvalidRequest", "the path must be /", protocol=protocol)


def _check_rpc(service: operations.Service, protocol: str, head: Head) -> None:
    queue = service.name == "sqs" and _QUEUE_PATH.fullmatch(head.path)
    if head.method != "POST" or not (head.path == "/" or queue):
        message = f"requests to {service.name} are POST requests to the path /"
        raise Unreadable("InvalidRequest", message, protocol=protocol)


def _rest(
    service: operations.Service,
    protocol: str,
    head: Head,
    target: str | None,
    fields: list[tuple[str, str]],
) -> tuple[operations.Operation, dict[str, str]]:
    query = _joined(fields)
    if target is not None:
        message = f"{service.name} takes no X-Amz-Target"
        raise Unreadable("InvalidRequest", message, protocol=protocol)
    name, labels = _matched(service, head, query)
    if name not in service.names:
        message = f"no operation of {service.name}: {head.method} {head.path[:200]} ?{query[:200]}"
        raise Unreadable("NotImplemented", message, protocol=protocol, status=501)
    found = operations.operation(service.name, name)
    seen = set()
    for field, value in fields:
        known = field in found.query or (field == "x-id" and value == name)
        if not known or (field in seen and field not in found.lists):
            message = f"{name} does not take the parameter {field[:200]!r}, or not twice"
            raise Unreadable("InvalidArgument", message, protocol=protocol)
        seen.add(field)
    for label, value in labels.items():
        arn = value.startswith("arn:")
        if label == "Bucket":
            fits = s3_requests.BUCKET.fullmatch(value) is not None
        else:
            fits = label == "Key" or arn or not {"/", "\\", "?", "#", "%"} & set(value)
        if not fits:
            message = f"{label} cannot be {value[:200]!r}"
            raise Unreadable("InvalidURI", message, protocol=protocol)
    return found, labels


def _matched(
    service: operations.Service, head: Head, query: str
) -> tuple[str | None, dict[str, str]]:
    environ = {
        "REQUEST_METHOD": head.method,
        "PATH_INFO": unquote(head.path).encode().decode("latin-1"),
        "RAW_URI": head.path,
        "QUERY_STRING": query,
        "HTTP_HOST": "localhost",
        "SERVER_NAME": "localhost",
        "SERVER_PORT": "80",
        "wsgi.url_scheme": "http",
        **{
            f"HTTP_{name.upper().replace('-', '_')}": value
            for name, value in head.headers.items()
            if name.startswith("x-amz-")
        },
    }
    try:
        found, labels = get_service_router(service.name).match(Request(environ))
    except (HTTPException, NotImplementedError, KeyError):
        return None, {}
    return found.name, labels


def read(found: Route, head: Head, signed: signature.Signature, account: str, body: bytes) -> Call:
    """The call that a request is. Raises: Unreadable."""
    parameters: dict[str, Any] = dict(found.labels)
    operation = found.operation
    if operation is None:
        parameters = _form(found, body)
        name = str(parameters.pop("Action", ""))
        if name not in found.service.names:
            message = f"{found.service.name} has no action {name[:200]!r}"
            raise Unreadable("InvalidAction", message, protocol=found.protocol)
        operation = operations.operation(found.service.name, name)
    elif found.protocol == "json" or (found.protocol == "rest-json" and operation.json_body):
        for member, value in _document(found, body).items():
            if member not in operation.members or member in parameters:
                message = f"{operation.name} does not take the parameter {member[:200]!r}"
                raise Unreadable("SerializationException", message, protocol=found.protocol)
            parameters[member] = value
    query: dict[str, list[str]] = {}
    for field, value in found.fields:
        query.setdefault(field, []).append(value)
    return Call(
        service=signed.service,
        operation=operation.name,
        region=signed.region,
        account=account,
        parameters=parameters,
        query=query,
        headers=head.headers,
        body=body,
    )


def _form(found: Route, body: bytes) -> dict[str, str]:
    try:
        fields = found.fields or signature.fields_of(body.decode())
    except ValueError as problem:
        message = f"the form cannot be read: {str(problem)[:200]}"
        raise Unreadable("MalformedQueryString", message, protocol=found.protocol) from None
    parameters = dict(fields)
    if len(parameters) != len(fields):
        message = "the form has a parameter twice"
        raise Unreadable("MalformedQueryString", message, protocol=found.protocol)
    return parameters


def _document(found: Route, body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body, object_pairs_hook=_unique) if body else {}
    except (ValueError, RecursionError) as problem:
        message = f"the body is not JSON: {str(problem)[:200]}"
        raise Unreadable("SerializationException", message, protocol=found.protocol) from None
    if not isinstance(document, dict):
        message = "the body is not a JSON object"
        raise Unreadable("SerializationException", message, protocol=found.protocol)
    return document


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("it has a name twice")
    return made


def path_of(found: Route) -> str:
    """The path of the request that moto gets."""
    if found.operation is None or found.protocol == "json":
        return "/"
    labels = found.labels

    def filled(match: re.Match[str]) -> str:
        name = match[1]
        return quote(labels[name], safe="/-._~" if name == "Key" else "-._~")

    return _LABEL.sub(filled, found.operation.path)


def query_of(found: Route) -> str:
    """The query of the request that moto gets."""
    if found.operation is None or found.protocol == "json":
        return ""
    return _joined([field for field in found.fields if field[0] != "x-id"])


def _joined(fields: list[tuple[str, str]]) -> str:
    return "&".join(
        [f"{quote(name, safe='-._~')}={quote(value, safe='-._~')}" for name, value in fields]
    )
