"""Test helpers: a controllable clock, an in-memory system, fault injection, conformance suites."""

from remotejob.testing.fakes import (
    FakeClock,
    Simulation,
    memory_installation,
    seeded_entropy,
)

__all__ = ["FakeClock", "Simulation", "memory_installation", "seeded_entropy"]
