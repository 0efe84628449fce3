"""Verify Signature Version 4, in the Authorization header or in a presigned URL.

Source: IAM User Guide, "Create a signed AWS API request".

Limits: chunk signatures of streaming uploads are not verified. The caller's clock is trusted,
because it is the same machine.
"""

from __future__ import annotations

import hashlib
import hmac
import time
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from urllib.parse import parse_qsl, quote

_ALGORITHM = "AWS4-HMAC-SHA256"


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
    presigned: bool
    expires_s: int | None = None

    @property
    def expired(self) -> bool:
        """Whether a presigned URL is past its time."""
        if self.expires_s is None:
            return False
        made = datetime.strptime(self.timestamp, "%Y%m%dT%H%M%SZ").replace(tzinfo=UTC)
        return time.time() > made.timestamp() + self.expires_s


def read(headers: Mapping[str, str], query: str) -> Signature | None:
    """The signature of a request; None if it is unsigned. Header names must be lower case."""
    authorization = headers.get("authorization", "")
    if authorization.startswith(_ALGORITHM):
        fields = dict(
            part.strip().partition("=")[::2]
            for part in authorization.removeprefix(_ALGORITHM).split(",")
        )
        timestamp = headers.get("x-amz-date", "")
        return _signature(
            fields.get("Credential", ""),
            fields.get("SignedHeaders", ""),
            fields.get("Signature", ""),
            timestamp,
            headers.get("x-amz-security-token"),
        )
    values = dict(parse_qsl(query, keep_blank_values=True))
    if values.get("X-Amz-Algorithm") != _ALGORITHM:
        return None
    return _signature(
        values.get("X-Amz-Credential", ""),
        values.get("X-Amz-SignedHeaders", ""),
        values.get("X-Amz-Signature", ""),
        values.get("X-Amz-Date", ""),
        values.get("X-Amz-Security-Token"),
        expires_s=int(values.get("X-Amz-Expires", "0")),
    )


def _signature(
    credential: str,
    signed: str,
    signature: str,
    timestamp: str,
    token: str | None,
    expires_s: int | None = None,
) -> Signature | None:
    scope = credential.split("/")
    if len(scope) != 5:
        return None
    return Signature(
        access_key_id=scope[0],
        date=scope[1],
        region=scope[2],
        service=scope[3],
        signed_headers=tuple(signed.split(";")),
        signature=signature,
        timestamp=timestamp,
        token=token,
        presigned=expires_s is not None,
        expires_s=expires_s,
    )


def matches(
    signature: Signature,
    secret: str,
    *,
    method: str,
    raw_path: str,
    query: str,
    headers: Mapping[str, str],
    body: bytes,
) -> bool:
    """Whether signing this request with this secret gives this signature."""
    if signature.presigned:
        payload = "UNSIGNED-PAYLOAD"
    else:
        payload = headers.get("x-amz-content-sha256") or hashlib.sha256(body).hexdigest()
    # S3 signs the path as sent; all other services encode the encoded path once more.
    path = raw_path if signature.service == "s3" else quote(raw_path, safe="/~")
    canonical = "\n".join(
        (
            method,
            path or "/",
            _canonical_query(query),
            *(f"{n}:{' '.join(headers.get(n, '').split())}" for n in signature.signed_headers),
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


def _canonical_query(query: str) -> str:
    pairs = (
        (quote(name, safe="-_.~"), quote(value, safe="-_.~"))
        for name, value in parse_qsl(query, keep_blank_values=True)
        if name != "X-Amz-Signature"
    )
    return "&".join(f"{name}={value}" for name, value in sorted(pairs))
