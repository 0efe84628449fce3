"""Clocks of machines that differ from the others."""

from __future__ import annotations

from datetime import timedelta

from remotejob.testing import FakeClock


class SuspendedClock(FakeClock):
    """Its monotonic time leaves out what the machine slept through, as Linux's does."""

    def __init__(self, base: FakeClock) -> None:
        super().__init__()
        self._base = base
        self.slept = timedelta(0)

    def now_ms(self) -> int:
        return self._base.now_ms()

    def monotonic(self) -> float:
        return self._base.monotonic() - self.slept.total_seconds()


class SkewedClock(FakeClock):
    """A machine's clock, a constant away from the others'."""

    def __init__(self, base: FakeClock, by: timedelta) -> None:
        super().__init__()
        self._base = base
        self._by_ms = by // timedelta(milliseconds=1)

    def now_ms(self) -> int:
        return self._base.now_ms() + self._by_ms

    def monotonic(self) -> float:
        return self._base.monotonic()

    def advance(self, span: timedelta) -> None:
        self._base.advance(span)
