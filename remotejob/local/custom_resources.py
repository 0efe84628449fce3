"""Take the answers of the functions behind CloudFormation's custom resources.

Source: CloudFormation User Guide, "Custom resource response objects". On AWS, the address that a
function answers to is a presigned S3 URL. Here it has a token that nobody can guess.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

PATH: Final = "custom-resources/"
_MOST_BYTES: Final = 4096
"""Of one answer, as on AWS."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Expected:
    """One answer that a function owes."""

    identity: dict[str, str]
    """Its StackId, RequestId and LogicalResourceId."""
    succeeded: Callable[[dict[str, Any]], None]
    """Called with the answer's data."""
    failed: Callable[[str], None]
    """Called with the reason."""


class CustomResources:
    """The answers that are expected, each once and under a token of its own. Thread-safe."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._expected: dict[str, Expected] = {}

    def expect(self, expected: Expected) -> str:
        """The path for one answer."""
        token = secrets.token_urlsafe(32)
        with self._lock:
            self._expected[token] = expected
        return f"{PATH}{token}"

    def answer(self, method: str, token: str, body: bytes) -> tuple[int, dict[str, str]]:
        """Take an answer; return the status and what to say."""
        with self._lock:
            known = self._expected.get(token)
        if method != "PUT" or known is None:
            return 403, {"error": "no custom resource expects this answer"}
        if len(body) > _MOST_BYTES:
            return 413, {"error": f"the answer is longer than {_MOST_BYTES} bytes"}
        try:
            answer = json.loads(body)
            fits = {name: answer[name] for name in known.identity} == known.identity
            status, data = answer["Status"], answer.get("Data") or {}
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError):
            fits, status, data = False, None, {}
        if not fits or status not in ("SUCCESS", "FAILED") or not isinstance(data, dict):
            return 400, {"error": "this is not the answer that the custom resource expects"}
        with self._lock:
            # only one of two answers at a time is the first
            if self._expected.pop(token, None) is None:
                return 403, {"error": "no custom resource expects this answer"}
        if status == "SUCCESS":
            known.succeeded(data)
        else:
            known.failed(str(answer.get("Reason", "no reason given"))[:1000])
        return 200, {}


_CURRENT: Final = CustomResources()


def current() -> CustomResources:
    """The `CustomResources` of this process."""
    return _CURRENT
