"""The entrance to the embedded AWS: identifies, counts and authorises every request.

It wraps moto's own application. What moto does: it checks resources only for SQS, STS, IAM and S3,
ignores conditions, and authorises by API name. What AWS does is in `access`. `access.reading` reads
a request once; `access.forwarding` builds the request that moto gets from what was read.
"""

from __future__ import annotations

import hmac
import json
import logging
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from remotejob.local.access import (
    forwarding,
    identity,
    permissions,
    reading,
    s3_permissions,
    signature,
)
from remotejob.local.access.calls import BadCall, Call
from remotejob.local.access.policies import Access, allowed
from remotejob.local.access.refusals import Refusal, denied, refusal
from remotejob.local.control import CONTROL_PREFIX
from remotejob.local.http_body import Body
from remotejob.local.http_head import Head
from remotejob.local.keep_alive import BODY, HEAD
from remotejob.local.metering import Meter

StartResponse = Callable[..., Any]
Environ = dict[str, Any]
App = Callable[[Environ, StartResponse], Iterable[bytes]]
#: Handles a request that is not part of AWS: (method, path, body, headers) to (status, JSON).
Control = Callable[[str, str, bytes, Mapping[str, str]], tuple[int, Any]]

_LOG = logging.getLogger(__name__)

_NAMES = ("127.0.0.1", "localhost")
#: Of a request to the control interface: a worker's environment is the longest.
_MOST_CONTROL_BYTES = 1 << 20
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
        head: Head = environ[HEAD]
        # A web page can name this address as its own, but then its name is in the header.
        if head.headers.get("host", "").lower() not in self._hosts(environ):
            return _send(
                refusal("Misdirected", "no such host", status=421, protocol="json"), start_response
            )
        if head.path.startswith(CONTROL_PREFIX):
            return self._answer_control(environ, start_response)
        outcome = self._examined(environ)
        if isinstance(outcome, Refusal):
            return _send(outcome, start_response)
        request = forwarding.forward(environ, outcome)
        if outcome.unless_missing is not None:
            return self._hide_missing(request, start_response, outcome.unless_missing)
        count_units = self._meter.before(outcome.call, outcome.who)
        try:
            answer = self._pass_on(request, start_response)
        finally:
            count_units()
        return self._note_receive(outcome.call, outcome.who, answer)

    def _hosts(self, environ: Environ) -> tuple[str, ...]:
        return tuple(f"{name}:{environ['SERVER_PORT']}" for name in _NAMES)

    def _pass_on(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        try:
            return self._app(environ, start_response)
        except Exception as error:  # noqa: BLE001
            # An SDK could not parse the HTML page that the server would send.
            _LOG.exception("%s %s", environ["REQUEST_METHOD"], environ["RAW_URI"])
            target = "HTTP_X_AMZ_TARGET" in environ
            message = f"{type(error).__name__}: {error}"
            protocol = "json" if target else "query"
            return _send(
                refusal("InternalFailure", message, status=500, protocol=protocol), start_response
            )

    def _note_receive(self, call: Call, who: str, answer: Iterable[bytes]) -> Iterable[bytes]:
        if (call.service, call.operation) != ("sqs", "ReceiveMessage"):
            return answer
        parts = list(answer)
        if hasattr(answer, "close"):
            answer.close()
        if any(_RECEIPT in part for part in parts):
            with self._lock:
                self._receives_with_messages[who] += 1
        return parts

    def _answer_control(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        head: Head = environ[HEAD]
        body: Body = environ[BODY]
        if body.length > _MOST_CONTROL_BYTES:
            status, answer = 413, {"error": f"the body is longer than {_MOST_CONTROL_BYTES} bytes"}
        else:
            path = head.path.removeprefix(CONTROL_PREFIX)
            status, answer = self._control(head.method, path, body.read(), head.headers)
        content = json.dumps(answer).encode()
        start_response(
            f"{status} -",
            [("Content-Type", "application/json"), ("Content-Length", str(len(content)))],
        )
        return [content]

    def _examined(self, environ: Environ) -> Refusal | forwarding.Judgement:
        """What to do with a request; until its signer is known, only its head is read."""
        protocol = "s3"
        try:
            fields = reading.query_fields(environ[HEAD])
            signed = signature.read(environ[HEAD].headers, fields)
            route = reading.route(environ[HEAD], signed, fields)
            protocol = route.protocol
            return self._examine(environ[HEAD], environ[BODY], fields, signed, route)
        except signature.BadSignature as problem:
            return refusal(problem.code, str(problem), status=problem.status, protocol=protocol)
        except reading.Unreadable as problem:
            return refusal(
                problem.code, str(problem), status=problem.status, protocol=problem.protocol
            )
        except BadCall as problem:
            return refusal(problem.code, str(problem), status=400, protocol=protocol)

    def _examine(
        self,
        head: Head,
        body: Body,
        fields: list[tuple[str, str]],
        signed: signature.Signature,
        route: reading.Route,
    ) -> Refusal | forwarding.Judgement:
        protocol = route.protocol
        if signed.service in self._failing:
            message = "this service was set to fail"
            return refusal("ServiceUnavailable", message, status=503, protocol=protocol)
        who = identity.principal_of(self._account, signed.access_key_id)
        if who is None or not _same(who.token, signed.token):
            code = {"s3": "InvalidAccessKeyId", "query": "InvalidClientTokenId"}
            return refusal(
                code.get(protocol, "UnrecognizedClientException"),
                "the access key or its session token is not known here",
                status=403,
                protocol=protocol,
            )
        if who.expired or ("credentials" in self._failing and who.role_arn is not None):
            expired = "ExpiredTokenException" if protocol == "json" else "ExpiredToken"
            message = "the security token included in the request is expired"
            return refusal(expired, message, status=403, protocol=protocol)
        if body.length > route.most_bytes:
            message = f"the body is longer than {route.most_bytes} bytes"
            return refusal("RequestEntityTooLarge", message, status=413, protocol=protocol)
        valid = signed.timely() and signature.matches(
            signed,
            who.secret,
            method=head.method,
            raw_path=head.path,
            fields=fields,
            headers=head.headers,
            body=body.read() if signed.covers_body else None,
        )
        if not valid:
            code = {"json": "InvalidSignatureException", "rest-json": "InvalidSignatureException"}
            return refusal(
                code.get(protocol, "SignatureDoesNotMatch"),
                "the signature does not match, or has expired",
                status=403,
                protocol=protocol,
            )
        content = body.read()
        if signed.payload is not None and not signature.is_of(content, signed.payload):
            message = "x-amz-content-sha256 is not the hash of the body"
            return refusal("XAmzContentSHA256Mismatch", message, status=400, protocol=protocol)
        call = reading.read(route, head, signed, self._account, content)
        with self._lock:
            self._counts[call.service, call.operation, who.name] += 1
        outcome = self._authorise(call, who, protocol)
        if isinstance(outcome, Refusal):
            return outcome
        return forwarding.Judgement(
            route=route, call=call, signed=signed, who=who.name, unless_missing=outcome
        )

    def _authorise(
        self, call: Call, who: identity.Principal, protocol: str
    ) -> Refusal | str | None:
        documents = identity.policies_of(self._account, who)
        try:
            needed = permissions.required(call)
        except (AttributeError, TypeError):
            raise BadCall(f"a parameter of {call.operation} has the wrong type") from None
        for access in needed:
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
            listing = self._asked(s3_permissions.list_bucket(call), who, call)
            if not allowed(documents, listing):
                return _denial(who, listing)
        return None

    def _asked(self, access: Access, who: identity.Principal, call: Call) -> Access:
        context = {
            "aws:PrincipalArn": who.role_arn or who.arn,
            "aws:PrincipalAccount": self._account,
            # there is no other
            "aws:ResourceAccount": self._account,
            "s3:ResourceAccount": self._account,
            "aws:RequestedRegion": call.region,
            # Treat plain HTTP on the loopback as TLS, so policies that require TLS do not fail.
            "aws:SecureTransport": "true",
            **access.context,
        }
        return replace(access, context=context)

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


def _same(expected: str | None, offered: str | None) -> bool:
    return hmac.compare_digest((expected or "").encode(), (offered or "").encode())


def _denial(who: identity.Principal, asked: Access) -> str:
    return (
        f"User: {who.arn} is not authorized to perform: {asked.action} on resource: "
        f"{asked.resource or '*'} because no identity-based policy allows the {asked.action} action"
    )


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
