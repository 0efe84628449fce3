"""Requests to one host, signed and sent once."""

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
    """botocore's emitter of events: faults are injected there, and an AWS embedded."""

    def emit_until_response(self, event_name: str, **kwargs: Any) -> Any: ...


class Credentials(Protocol):
    """botocore's credentials, which renew themselves."""

    def get_frozen_credentials(self) -> Any: ...


class Sender:
    """Signs requests of one service and sends each once. Safe across threads.

    Each is first told of by botocore's `before-send` event, as boto3's clients do: whoever answers
    there stands in for AWS.
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
        """`service` is as it is signed for, and as botocore's events name it; `url` ends in a
        slash."""
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
        """The answer: its `status_code`, `headers` and `content`.

        Raises: NoCredentialsError; botocore's errors of connection.
        """
        signed, answer = self._told(operation, request)
        return self._connections.ask(signed, read_s=read_s) if answer is None else answer

    def open(self, operation: str, request: Request, *, read_s: float) -> Opened:
        """The answer, whose content is to be read from it.

        Raises: as `ask`.
        """
        signed, answer = self._told(operation, request)
        if answer is None:
            return self._connections.open(signed, read_s=read_s)
        headers = {name.lower(): value for name, value in answer.headers.items()}
        return Opened(answer.status_code, headers, BytesIO(answer.content))

    def _told(self, operation: str, request: Request) -> tuple[Request, Any]:
        """The request, signed; and its answer, where somebody stands in for AWS."""
        method, target, headers, body = request
        headers = {**headers, "User-Agent": self._user_agent}
        # anew for each attempt: a signature is good for minutes
        headers = self._signer().signed(headers, body, method=method, target=target)
        url = self.url + target[1:]
        _, answer = self._events.emit_until_response(
            f"before-send.{self._service}.{operation}",
            request=AWSPreparedRequest(method, url, headers, body, False),  # type: ignore[arg-type]  # noqa: FBT003 (botocore's)
        )
        return Request(method, target, headers, body), answer

    def _signer(self) -> Signer:
        """One for a moment: whether credentials are to be renewed is dear to find out."""
        if self._credentials is None:
            raise NoCredentialsError
        now = self._clock.monotonic()
        until, signer = self._signing
        if signer is None or now >= until:
            frozen = self._credentials.get_frozen_credentials()
            host = urlsplit(self.url).netloc
            signer = Signer(frozen, service=self._service, region=self._region, host=host)
            # botocore renews them many minutes before they end
            self._signing = (now + _SIGNER_KEPT, signer)
        return signer
