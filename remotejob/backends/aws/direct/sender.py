"""Signs requests to one host and sends each once."""

from __future__ import annotations

from io import BytesIO
from typing import Any, Final, Protocol
from urllib.parse import urlsplit

from botocore.awsrequest import AWSPreparedRequest
from botocore.exceptions import NoCredentialsError

from remotejob.backends.aws.direct.connections import Connections, Opened, Request
from remotejob.backends.aws.direct.signing import Signer
from remotejob.ports import Clock

_SIGNER_KEPT: Final = 1.0
"""Seconds."""


class Events(Protocol):
    """botocore's event emitter. Tests inject faults and embed moto through it."""

    def emit_until_response(self, event_name: str, **kwargs: Any) -> Any: ...


class Credentials(Protocol):
    """botocore's credentials, which renew themselves."""

    def get_frozen_credentials(self) -> Any: ...


class Sender:
    """Signs requests to one service and sends each once. Thread-safe.

    Like boto3's clients, it first emits botocore's `before-send` event; a handler that returns a
    response stands in for AWS.
    """

    def __init__(
        self,
        service: str,
        *,
        url: str,
        connections: Connections,
        region: str,
        credentials: Credentials | None,
        events: Events,
        user_agent: str,
        clock: Clock,
    ) -> None:
        """`service` is its name in signatures and botocore's events; `url` ends in a slash."""
        self.url: Final = url
        self._service = service
        self._connections = connections
        self._region = region
        self._credentials = credentials
        self._events = events
        self._user_agent = user_agent
        self._clock = clock
        self._signing: tuple[float, Signer | None] = (0.0, None)

    def ask(self, operation: str, request: Request, *, read_s: float) -> Any:
        """Send a request; the response has `status_code`, `headers` and `content`.

        Raises: NoCredentialsError; botocore's connection errors.
        """
        signed, answer = self._announced(operation, request)
        return self._connections.ask(signed, read_s=read_s) if answer is None else answer

    def open(self, operation: str, request: Request, *, read_s: float) -> Opened:
        """Send a request; the response's body is left to read.

        Raises: as `ask`.
        """
        signed, answer = self._announced(operation, request)
        if answer is None:
            return self._connections.open(signed, read_s=read_s)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Opened(answer.status_code, headers, BytesIO(answer.content))

    def _announced(self, operation: str, request: Request) -> tuple[Request, Any]:
        """Sign the request and emit `before-send`; also return a handler's response, if any."""
        method, target, headers, body = request
        headers = {**headers, "User-Agent": self._user_agent}
        # signed for each attempt, because a signature expires after minutes
        headers = self._signer().signed(headers, body, method=method, target=target)
        url = self.url + target[1:]
        _, answer = self._events.emit_until_response(
            f"before-send.{self._service}.{operation}",
            request=AWSPreparedRequest(method, url, headers, body, False),  # type: ignore[arg-type]  # noqa: FBT003 (botocore's)
        )
        return Request(method, target, headers, body), answer

    def _signer(self) -> Signer:
        """Cached for a second, because checking whether credentials must be renewed is slow."""
        if self._credentials is None:
            raise NoCredentialsError
        now = self._clock.monotonic()
        until, signer = self._signing
        if signer is None or now >= until:
            frozen = self._credentials.get_frozen_credentials()
            host = urlsplit(self.url).netloc
            signer = Signer(frozen, service=self._service, region=self._region, host=host)
            # safe, because botocore renews credentials many minutes before they expire
            self._signing = (now + _SIGNER_KEPT, signer)
        return signer
