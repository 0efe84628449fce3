"""All scenarios: scripts that faults are injected into."""

from __future__ import annotations

from tests.simulation import dependents, life, limited, locked, made_again, resumed, trouble
from tests.simulation.scripting import SCENARIOS, Scenario

__all__ = [
    "SCENARIOS",
    "Scenario",
    "dependents",
    "life",
    "limited",
    "locked",
    "made_again",
    "resumed",
    "trouble",
]
