"""A request as the call of an API: all that permissions are judged by."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final


@dataclass(frozen=True, kw_only=True, slots=True)
class Call:
    """One request to one service: the parts that decide which permissions it needs."""

    service: str
    operation: str
    region: str
    account: str
    #: Parameters from the JSON body, the form, or the path of a REST request.
    parameters: Mapping[str, Any]
    #: Query string of a REST request.
    query: Mapping[str, list[str]]
    headers: Mapping[str, str]
    body: bytes

    def arn(self, resource: str, *, service: str | None = None) -> str:
        """The ARN of a resource of this account and region."""
        return f"arn:aws:{service or self.service}:{self.region}:{self.account}:{resource}"


class BadCall(Exception):
    """A parameter that permissions are judged by is not what its API allows."""

    def __init__(self, message: str, *, code: str = "ValidationException") -> None:
        super().__init__(message)
        self.code: Final = code
