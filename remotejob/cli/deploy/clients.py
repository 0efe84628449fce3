"""boto3's clients, each made once."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import boto3


class Clients:
    """The clients of a session, by the name of their service."""

    def __init__(self, session: boto3.Session) -> None:
        self.session = session
        self._made: dict[str, Any] = {}

    def __call__(self, service: str) -> Any:
        if service not in self._made:
            make: Any = self.session.client
            self._made[service] = make(service)
        return self._made[service]
