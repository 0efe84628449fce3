"""The entrance to the embedded AWS: identifies, counts and authorises every request.

It wraps moto's own application. What moto does: it checks resources only for SQS, STS, IAM and S3,
ignores conditions, and authorises by API name. What AWS does is in `access`.
"""

from __future__ import annotations

import io
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any
from urllib.parse import parse_qs, parse_qsl
from xml.etree import ElementTree as ET

from moto.core.request import Request
from moto.core.routing import get_service_router
from werkzeug.exceptions import HTTPException

from remotejob.local.access import identity, permissions, signature
from remotejob.local.access.policies import Access, allowed
from remotejob.local.access.refusals import Refusal, denied, refusal
from remotejob.local.metering import Meter

StartResponse = Callable[..., Any]
Environ = dict[str, Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
#: Handles a request that is not part of AWS: (method, path, body, headers) to (status, JSON).
Control = Callable[[str, str, bytes, Mapping[str, str]], tuple[int, Any]]

_LOG = logging.getLogger(__name__)

CONTROL_PREFIX = "/_remotejob/"
#: Where a custom resource's function reports: a presigned S3 URL on AWS, unsigned in moto.
_CUSTOM_RESOURCE_PREFIX = "/cloudformation_"
#: Key of the examined call in a request's WSGI environment.
_CALL = "remotejob.call"
#: What an answer to ReceiveMessage contains if it brings messages, in JSON and in XML.
_RECEIPT = b"ReceiptHandle"


class Gateway:
    """A WSGI application that passes on the requests that the caller's policies allow."""

    def __init__(self, app: App, *, account: str, control: Control) -> None:
        self._app = app
        self._account = account
        self._control = control
        self._lock = threading.Lock()
        self._counts: Counter[tuple[str, str, str]] = Counter()
        self._receives_with_messages: Counter[str] = Counter()
        self._accesses: Counter[tuple[str, str]] = Counter()
        self._meter = Meter(account)
        self._failing: frozenset[str] = frozenset()

    def counts(self) -> list[tuple[str, str, str, int]]:
        """Request counts since the last reset, by service, operation and name of the role."""
        with self._lock:
            return sorted((*key, count) for key, count in self._counts.items())

    def receives_with_messages(self) -> list[tuple[str, int]]:
        """How many receives brought a message since the last reset, by name of the role.

        All other receives were polls of an empty queue, or still are.
        """
        with self._lock:
            return sorted(self._receives_with_messages.items())

    def accesses(self) -> list[tuple[str, str, int]]:
        """How often policies allowed an action since the last reset, by name of the role."""
        with self._lock:
            return sorted((*key, count) for key, count in self._accesses.items())

    def reset_counts(self) -> None:
        """Reset the counts of requests and units to zero."""
        with self._lock:
            self._counts.clear()
            self._receives_with_messages.clear()
            self._accesses.clear()
        self._meter.reset()

    def units(self) -> list[tuple[str, str, float]]:
        """DynamoDB's units since the last reset, by kind and name of the role."""
        return self._meter.counts()

    def fail(self, services: Iterable[str]) -> None:
        """Make only these services, such as "dynamodb", fail from now on.

        "credentials" makes the credentials of every role expired.
        """
        self._failing = frozenset(services)

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path.startswith(CONTROL_PREFIX):
            return self._answer_control(environ, start_response, path)
        if path.startswith(_CUSTOM_RESOURCE_PREFIX):
            return self._app(environ, start_response)
        if path.startswith("/moto-api"):
            # moto's own control interface needs no authentication and can delete everything.
            return _send(
                refusal("NotFound", "no such address", status=404, protocol="json"), start_response
            )
        try:
            outcome = self._examine(environ)
        except ET.ParseError as problem:
            outcome = refusal("MalformedXML", str(problem), status=400, protocol="s3")
        if isinstance(outcome, Refusal):
            return _send(outcome, start_response)
        if outcome is None:
            call, who = environ[_CALL]
            count_units = self._meter.before(call, who)
            try:
                answer = self._pass_on(environ, start_response)
            finally:
                count_units()
            return self._note_receive(call, who, answer)
        return self._hide_missing(environ, start_response, outcome)

    def _pass_on(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except Exception as error:  # noqa: BLE001
            # An SDK could not parse the HTML page that the server would send.
            _LOG.exception("%s %s", environ["REQUEST_METHOD"], environ.get("RAW_URI"))
            target = "HTTP_X_AMZ_TARGET" in environ
            message = f"{type(error).__name__}: {error}"
            protocol = "json" if target else "query"
            return _send(
                refusal("InternalFailure", message, status=500, protocol=protocol), start_response
            )

    def _note_receive(
        self, call: permissions.Call, who: str, answer: Iterable[bytes]
    ) -> Iterable[bytes]:
        if (call.service, call.operation) != ("sqs", "ReceiveMessage"):
            return answer
        parts = list(answer)
        if hasattr(answer, "close"):
            answer.close()
        if any(_RECEIPT in part for part in parts):
            with self._lock:
                self._receives_with_messages[who] += 1
        return parts

    def _answer_control(
        self, environ: Environ, start_response: StartResponse, path: str
    ) -> Iterable[bytes]:
        status, answer = self._control(
            environ["REQUEST_METHOD"],
            path.removeprefix(CONTROL_PREFIX),
            _body(environ),
            _headers(environ),
        )
        body = json.dumps(answer).encode()
        start_response(
            f"{status} -",
            [("Content-Type", "application/json"), ("Content-Length", str(len(body)))],
        )
        return [body]

    def _examine(self, environ: Environ) -> Refusal | str | None:
        """A refusal, None to pass it on, or the message to send if the object does not exist."""
        headers = _headers(environ)
        query = environ.get("QUERY_STRING", "")
        signed = signature.read(headers, query)
        if signed is None:
            return refusal(
                "MissingAuthenticationToken", "the request is not signed", status=403, protocol="s3"
            )
        call, protocol = self._call(environ, signed, headers, query)
        if call.service in self._failing:
            message = "this service was set to fail"
            return refusal("ServiceUnavailable", message, status=503, protocol=protocol)
        who = identity.principal_of(self._account, signed.access_key_id)
        if who is None or who.token != signed.token:
            code = {"s3": "InvalidAccessKeyId", "query": "InvalidClientTokenId"}
            return refusal(
                code.get(protocol, "UnrecognizedClientException"),
                "the access key or its session token is not known here",
                status=403,
                protocol=protocol,
            )
        if "credentials" in self._failing and who.role_arn is not None:
            expired = "ExpiredTokenException" if protocol == "json" else "ExpiredToken"
            message = "the security token included in the request is expired"
            return refusal(expired, message, status=403, protocol=protocol)
        valid = not signed.expired and signature.matches(
            signed,
            who.secret,
            method=environ["REQUEST_METHOD"],
            raw_path=environ.get("RAW_URI", "").partition("?")[0],
            query=query,
            headers=headers,
            body=call.body,
        )
        if not valid:
            code = {"json": "InvalidSignatureException", "rest-json": "InvalidSignatureException"}
            return refusal(
                code.get(protocol, "SignatureDoesNotMatch"),
                "the signature does not match, or has expired",
                status=403,
                protocol=protocol,
            )
        with self._lock:
            self._counts[call.service, call.operation, who.name] += 1
        environ[_CALL] = (call, who.name)
        return self._authorise(call, who, protocol)

    def _authorise(
        self, call: permissions.Call, who: identity.Principal, protocol: str
    ) -> Refusal | str | None:
        documents = identity.policies_of(self._account, who)
        for access in permissions.required(call):
            asked = self._asked(access, who, call)
            if not allowed(documents, asked):
                return denied(call.service, _denial(who, asked), protocol=protocol)
            if asked.action == "sts:AssumeRole" and not identity.trusts(
                self._account, str(asked.resource), replace(asked, resource=None)
            ):
                message = f"{_denial(who, asked)}; the role's trust policy does not name the caller"
                return denied(call.service, message, protocol=protocol)
            with self._lock:
                self._accesses[asked.action, who.name] += 1
        if call.operation in ("GetObject", "HeadObject") and call.service == "s3":
            listing = self._asked(permissions.list_bucket(call), who, call)
            if not allowed(documents, listing):
                return _denial(who, listing)
        return None

    def _asked(self, access: Access, who: identity.Principal, call: permissions.Call) -> Access:
        context = {
            "aws:PrincipalArn": who.role_arn or who.arn,
            "aws:PrincipalAccount": self._account,
            "aws:RequestedRegion": call.region,
            # Treat plain HTTP on the loopback as TLS, so policies that require TLS do not fail.
            "aws:SecureTransport": "true",
            **access.context,
        }
        return replace(access, context=context)

    def _call(
        self,
        environ: Environ,
        signed: signature.Signature,
        headers: Mapping[str, str],
        query: str,
    ) -> tuple[permissions.Call, str]:
        """The request as a call of an API, and the protocol it came in."""
        service = signed.service.lower()
        values = parse_qs(query, keep_blank_values=True)
        parameters: dict[str, Any] = {}
        # Objects can be large, so we leave their bodies for the application to stream.
        body = b"" if service == "s3" and "delete" not in values else _body(environ)
        target = headers.get("x-amz-target")
        form = headers.get("content-type", "").startswith("application/x-www-form-urlencoded")
        if target is not None:
            operation, protocol = target.rpartition(".")[2], "json"
            parameters = json.loads(body) if body else {}
        elif service != "s3" and (form or "Action" in values):
            parameters = dict(parse_qsl(body.decode() if form else query, keep_blank_values=True))
            operation = parameters.get("Action", "Unknown")
            protocol = "ec2" if service == "ec2" else "query"
        else:
            protocol = "s3" if service == "s3" else "rest-json"
            operation, parameters = _route(service, environ)
        call = permissions.Call(
            service=service,
            operation=operation,
            region=signed.region,
            account=self._account,
            parameters=parameters,
            query=values,
            headers=headers,
            body=body,
        )
        return call, protocol

    def _hide_missing(
        self, environ: Environ, start_response: StartResponse, message: str
    ) -> Iterable[bytes]:
        """Answer "denied" for a missing object, as S3 does to callers who may not list.

        Source: S3 API Reference, "GetObject", permissions.
        """
        started: list[tuple[str, Any]] = []

        def start(status: str, response_headers: Any, _: Any = None) -> Any:
            started.append((status, response_headers))
            return lambda _: None

        answer = self._pass_on(environ, start)
        status, response_headers = started[0]
        if status.startswith("404"):
            refused = denied("s3", message, protocol="s3")
            if environ["REQUEST_METHOD"] == "HEAD":
                refused = replace(refused, body=b"")
            return _send(refused, start_response)
        start_response(status, response_headers)
        return answer


def _route(service: str, environ: Environ) -> tuple[str, dict[str, Any]]:
    """Operation and path parameters of a REST request."""
    try:
        operation, parameters = get_service_router(service).match(Request(environ))
    except (HTTPException, NotImplementedError, KeyError):
        return "Unknown", {}
    return operation.name, parameters


def _denial(who: identity.Principal, asked: Access) -> str:
    return (
        f"User: {who.arn} is not authorized to perform: {asked.action} on resource: "
        f"{asked.resource or '*'} because no identity-based policy allows the {asked.action} action"
    )


def _headers(environ: Environ) -> dict[str, str]:
    """The request's headers, with lower-case names."""
    headers = {
        name[5:].replace("_", "-").lower(): value
        for name, value in environ.items()
        if name.startswith("HTTP_")
    }
    for name in ("CONTENT_TYPE", "CONTENT_LENGTH"):
        if environ.get(name):
            headers[name.replace("_", "-").lower()] = environ[name]
    return headers


def _body(environ: Environ) -> bytes:
    """The whole body; the application can still read it."""
    body: bytes = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0))
    environ["wsgi.input"] = io.BytesIO(body)
    return body


def _send(refused: Refusal, start_response: StartResponse) -> Iterable[bytes]:
    start_response(
        f"{refused.status} -",
        [
            ("Content-Type", refused.content_type),
            ("Content-Length", str(len(refused.body))),
            *refused.headers,
        ],
    )
    return [refused.body]
