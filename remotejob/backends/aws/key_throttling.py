"""Retries of boto3's clients while KMS throttles; `DirectService` has its own."""

from __future__ import annotations

import random
from typing import Any, Final

from remotejob.domain.throttling import is_key_throttled

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0


def retry_key_throttling(client: Any, *, attempts: int) -> None:
    """Let a client try a request so often, the first time included."""

    def delay_s(response: Any, attempts_so_far: int) -> float | None:
        """None to leave it to the other handlers."""
        error = {} if response is None else response[1].get("Error", {})
        if attempts_so_far >= attempts or not is_key_throttled(error.get("Code")):
            return None
        longest: float = min(_LONGEST_S, _FIRST_S * 2.0**attempts_so_far)
        return random.uniform(0, longest)  # noqa: S311 (nobody gains by guessing it)

    def needs_retry(response: Any, attempts: int, **_: object) -> float | None:
        return delay_s(response, attempts)

    client.meta.events.register(
        f"needs-retry.{client.meta.service_model.service_id.hyphenize()}",
        needs_retry,
        unique_id="remotejob-key-throttling",
    )
