"""For tests: a clock that stands still, an installation in memory, and conformance suites."""

from remotejob.testing.fakes import (
    FakeClock,
    Simulation,
    memory_installation,
    seeded_entropy,
)

__all__ = ["FakeClock", "Simulation", "memory_installation", "seeded_entropy"]
