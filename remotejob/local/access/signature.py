"""Verify Signature Version 4, in the Authorization header or in a presigned URL.

Source: IAM User Guide, "Create a signed AWS API request"; Amazon S3 API Reference,
"Authenticating Requests (AWS Signature Version 4)".

Limits: chunk signatures of streaming uploads are not verified.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final
from urllib.parse import parse_qsl, quote

MOST_SKEW_S: Final = 900
"""How far the signer's clock may be from ours."""

_ALGORITHM: Final = "AWS4-HMAC-SHA256"
_LONGEST_LIFE_S: Final = 7 * 24 * 3600
_MOST_FIELDS: Final = 1000
_UNSIGNED: Final = "UNSIGNED-PAYLOAD"
_STREAMED: Final = re.compile(r"STREAMING-[A-Z0-9-]{1,60}")
_TIME: Final = re.compile(r"[0-9]{8}T[0-9]{6}Z")
_HASH: Final = re.compile(r"[0-9a-f]{64}")

# Names of regions and services are patterns, because moto builds the name of a host from them.
_CREDENTIAL: Final = re.compile(
    r"(?P<key>[A-Z0-9]{16,128})/(?P<date>[0-9]{8})/(?P<region>[a-z]{2}(?:-[a-z]+)+-[0-9])/"
    r"(?P<service>[a-z0-9-]{1,64})/aws4_request"
)
_AUTHORIZATION: Final = re.compile(
    rf"{_ALGORITHM} Credential=(?P<credential>[^ ,]+), ?SignedHeaders=(?P<signed>[^ ,]+), ?"
    r"Signature=(?P<signature>[0-9a-f]{64})"
)
_PRESIGNED: Final = (
    "X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-Expires", "X-Amz-SignedHeaders",
    "X-Amz-Signature",
)  # fmt: skip
_TOKEN: Final = "X-Amz-Security-Token"
_LOWERED: Final = frozenset(name.lower() for name in (*_PRESIGNED, _TOKEN))
_OLD: Final = frozenset({"awsaccesskeyid", "signature"})
"""Parameters of Signature Version 2."""


class BadSignature(Exception):
    """The request does not say in one way who signed it."""

    def __init__(self, code: str, message: str, *, status: int = 400) -> None:
        super().__init__(message)
        self.code: Final = code
        self.status: Final = status


@dataclass(frozen=True, kw_only=True, slots=True)
class Signature:
    """The signature of a request, and what it says about the signer."""

    access_key_id: str
    date: str
    region: str
    service: str
    signed_headers: tuple[str, ...]
    signature: str
    timestamp: str
    token: str | None
    payload: str | None
    """What was signed in place of the body's hash; None for the hash itself."""
    expires_s: int | None = None
    """How long a presigned URL is valid; None for any other request."""

    def timely(self) -> bool:
        """Whether it was made lately, or a presigned URL's time is not over."""
        age = time.time() - _time(self.timestamp)
        return -MOST_SKEW_S <= age <= (self.expires_s or MOST_SKEW_S)

    @property
    def covers_body(self) -> bool:
        """Whether the body must be read before the signature can be verified."""
        return self.payload is None


def fields_of(query: str) -> list[tuple[str, str]]:
    """The names and values of a query or a form.

    Raises: ValueError, when there are too many.
    """
    if not query:
        return []
    return parse_qsl(query, keep_blank_values=True, max_num_fields=_MOST_FIELDS)


def read(headers: Mapping[str, str], fields: list[tuple[str, str]]) -> Signature:
    """The signature of a request; header names must be lower case.

    Raises: BadSignature.
    """
    own = [field for field in fields if _signs(field[0])]
    parameters = dict(own)
    if len(own) != len(parameters):
        raise BadSignature("InvalidRequest", "the query has a parameter of its signature twice")
    if _OLD & {name.lower() for name, _ in fields}:
        raise BadSignature("InvalidRequest", "sign with Signature Version 4")
    authorization = headers.get("authorization")
    if authorization is None and not parameters:
        message = "the request is not signed"
        raise BadSignature("MissingAuthenticationToken", message, status=403)
    if authorization is not None and parameters:
        raise BadSignature(
            "InvalidArgument", "sign in the Authorization header or in the query, not in both"
        )
    signature = _presigned(parameters) if authorization is None else _signed(authorization, headers)
    _check_headers(signature, headers)
    return signature


def _signs(name: str) -> bool:
    return name.startswith("X-Amz-") or name.lower() in _LOWERED


def _signed(authorization: str, headers: Mapping[str, str]) -> Signature:
    found = _AUTHORIZATION.fullmatch(authorization)
    if found is None:
        message = f"the Authorization header is not that of {_ALGORITHM}"
        raise BadSignature("IncompleteSignature", message, status=403)
    return _signature(
        found["credential"],
        found["signed"],
        found["signature"],
        timestamp=headers.get("x-amz-date", ""),
        token=headers.get("x-amz-security-token"),
        payload=headers.get("x-amz-content-sha256"),
    )


def _presigned(parameters: Mapping[str, str]) -> Signature:
    unknown = sorted(set(parameters) - {*_PRESIGNED, _TOKEN})
    missing = sorted(set(_PRESIGNED) - set(parameters))
    expires = parameters.get("X-Amz-Expires", "")
    if unknown or missing or parameters["X-Amz-Algorithm"] != _ALGORITHM:
        raise BadSignature(
            "AuthorizationQueryParametersError",
            f"the query needs {', '.join(_PRESIGNED)}, with {_ALGORITHM}; "
            f"missing: {missing}, unknown: {str(unknown)[:200]}",
        )
    if not (expires.isascii() and expires.isdecimal() and 1 <= int(expires[:9]) <= _LONGEST_LIFE_S):
        message = f"X-Amz-Expires is {expires[:200]!r}, not 1 to {_LONGEST_LIFE_S} seconds"
        raise BadSignature("AuthorizationQueryParametersError", message)
    return _signature(
        parameters["X-Amz-Credential"],
        parameters["X-Amz-SignedHeaders"],
        parameters["X-Amz-Signature"],
        timestamp=parameters["X-Amz-Date"],
        token=parameters.get(_TOKEN),
        payload=None,
        expires_s=int(expires),
    )


def _signature(
    credential: str,
    signed: str,
    signature: str,
    *,
    timestamp: str,
    token: str | None,
    payload: str | None,
    expires_s: int | None = None,
) -> Signature:
    scope = _CREDENTIAL.fullmatch(credential)
    if scope is None:
        message = f"the credential scope {credential[:200]!r} is not key/date/region/service/type"
        raise BadSignature("IncompleteSignature", message, status=403)
    try:
        _time(timestamp)
    except ValueError:
        message = f"the time of signing is {timestamp[:200]!r}; send X-Amz-Date"
        raise BadSignature("IncompleteSignature", message, status=403) from None
    if timestamp[:8] != scope["date"]:
        message = "the credential scope is of another day than X-Amz-Date"
        raise BadSignature("IncompleteSignature", message, status=403)
    s3 = scope["service"] == "s3"
    if expires_s is not None and s3:
        payload = _UNSIGNED
    return Signature(
        access_key_id=scope["key"],
        date=scope["date"],
        region=scope["region"],
        service=scope["service"],
        signed_headers=tuple(signed.split(";")),
        signature=signature,
        timestamp=timestamp,
        token=token,
        # all services but S3 hash the body themselves
        payload=_checked_payload(payload) if s3 else None,
        expires_s=expires_s,
    )


def _time(timestamp: str) -> float:
    if not _TIME.fullmatch(timestamp):
        raise ValueError(timestamp)
    return datetime.strptime(timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC).timestamp()


def _checked_payload(payload: str | None) -> str:
    if payload is None:
        raise BadSignature("InvalidRequest", "S3 needs the header x-amz-content-sha256")
    if payload != _UNSIGNED and not _STREAMED.fullmatch(payload) and not _HASH.fullmatch(payload):
        message = f"x-amz-content-sha256 is {payload[:200]!r}, not a hash or {_UNSIGNED}"
        raise BadSignature("InvalidArgument", message)
    return payload


def _check_headers(signature: Signature, headers: Mapping[str, str]) -> None:
    """Source: "Create a signed AWS API request", step 1: the headers that must be signed."""
    signed = signature.signed_headers
    if list(signed) != sorted(set(signed)) or not all(name in headers for name in signed):
        raise BadSignature(
            "SignatureDoesNotMatch",
            "SignedHeaders must list headers of the request, sorted, each once",
            status=403,
        )
    needed = {"host", *(name for name in headers if name.startswith("x-amz-"))}
    if missing := sorted(needed.difference(signed)):
        message = f"headers that must be signed were not: {', '.join(missing)[:200]}"
        raise BadSignature("AccessDenied", message, status=403)


def matches(
    signature: Signature,
    secret: str,
    *,
    method: str,
    raw_path: str,
    fields: list[tuple[str, str]],
    headers: Mapping[str, str],
    body: bytes | None,
) -> bool:
    """Whether signing this request with this secret gives this signature.

    `body` may be None for a signature that does not cover it.
    """
    payload = signature.payload
    if payload is None:
        assert body is not None
        payload = hashlib.sha256(body).hexdigest()
    # S3 signs the path as sent; all other services encode the encoded path once more.
    path = raw_path if signature.service == "s3" else quote(raw_path, safe="/~")
    canonical = "\n".join(
        (
            method,
            path or "/",
            _canonical_query(fields),
            *(f"{n}:{' '.join(headers[n].split())}" for n in signature.signed_headers),
            "",
            ";".join(signature.signed_headers),
            payload,
        )
    )
    scope = f"{signature.date}/{signature.region}/{signature.service}/aws4_request"
    hashed = hashlib.sha256(canonical.encode()).hexdigest()
    to_sign = f"{_ALGORITHM}\n{signature.timestamp}\n{scope}\n{hashed}"
    key = f"AWS4{secret}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    expected = hmac.digest(key, to_sign.encode(), "sha256").hex()
    return hmac.compare_digest(expected, signature.signature)


def is_of(body: bytes, payload: str) -> bool:
    """Whether a body is the signed one, if its hash was signed."""
    return not _HASH.fullmatch(payload) or hashlib.sha256(body).hexdigest() == payload


def _canonical_query(fields: list[tuple[str, str]]) -> str:
    if not fields:
        return ""
    pairs = (
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in fields
        if name != "X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
