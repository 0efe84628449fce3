"""The real clock."""

from __future__ import annotations

import time
from datetime import timedelta


class SystemClock:
    """The machine's time."""

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    def monotonic(self) -> float:
        return time.monotonic()

    def sleep(self, span: timedelta) -> None:
        time.sleep(span.total_seconds())
