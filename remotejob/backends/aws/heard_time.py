"""What time it is at AWS, as the answers to a process's requests say it: no request of its own."""

from __future__ import annotations

from datetime import UTC, timedelta
from email.utils import parsedate_to_datetime
from time import monotonic
from typing import Any

from remotejob.backends.aws.access_errors import Client
from remotejob.domain.times import to_ms
from remotejob.ports import Clock


class HeardTime:
    """The `Date` of the last answer to a boto3 client."""

    def __init__(self) -> None:
        self._heard: tuple[str, float] | None = None

    def listen_to(self, client: Client) -> None:
        client.meta.events.register(
            f"after-call.{client.meta.service_model.service_id.hyphenize()}",
            self._hear,
            unique_id="remotejob-time",
        )

    def _hear(self, http_response: Any, **_: object) -> None:
        said = getattr(http_response, "headers", {}).get("date")
        if said is not None:
            self._heard = said, monotonic()

    def clock_ahead(self, clock: Clock) -> timedelta | None:
        """How far a clock is ahead of AWS's, to about a second; None if nothing was heard."""
        if self._heard is None:
            return None
        said, at = self._heard
        try:
            moment = parsedate_to_datetime(said)
        except ValueError:
            # of a proxy, perhaps
            return None
        moment = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
        elapsed_ms = round((monotonic() - at) * 1000)
        return timedelta(milliseconds=clock.now_ms() - elapsed_ms - to_ms(moment))
