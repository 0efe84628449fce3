"""Which capacity a queue's workers use while Fargate Spot is short, and afterwards.

ECS keeps to the weights of a service: while there is no Spot capacity, the tasks that should run on
it wait, though there is room on demand. Source: aws/containers-roadmap, issue 852.
"""

from __future__ import annotations

from datetime import timedelta
from typing import Final

from remotejob.domain.fleet import CapacityShare, FleetStatus, Rollout, WorkersDescription
from remotejob.domain.times import span_ms

ON_DEMAND: Final = "FARGATE"
SPOT: Final = "FARGATE_SPOT"

WAITED: Final = timedelta(minutes=3)
"""How long Spot is short before its workers start on demand: ECS itself tries again for a while."""

KEPT: Final = timedelta(minutes=30)
"""How long workers stay on demand at least: each change is a deployment of the service."""

LONGEST: Final = timedelta(hours=6)
"""After so long Spot is tried again though workers run; before, only once none runs, when the
change stops nobody."""

REMEMBERED: Final = timedelta(hours=1)
"""How long an event counts: ECS repeats itself ever more rarely."""

_SHORT: Final = ("unable to place a task", "capacity is unavailable")
_STEADY: Final = "has reached a steady state"
"""Source: Amazon ECS Developer Guide, "Amazon ECS service event messages"."""


def shift(
    described: WorkersDescription, status: FleetStatus, *, now_ms: int
) -> tuple[CapacityShare, ...] | None:
    """The capacity that a service should change to; None to leave it as it is."""
    deployed = described.capacity
    if not _uses_spot(deployed) or not status.capacity:
        return None
    age_ms = now_ms - status.deployed_at_ms
    if _uses_spot(status.capacity):
        lacking = status.running < status.desired
        return _on_demand(deployed) if lacking and _is_short(status, now_ms) else None
    if age_ms < span_ms(KEPT) or status.rollout is Rollout.IN_PROGRESS:
        return None
    stops_nobody = status.desired == 0
    return deployed if stops_nobody or age_ms >= span_ms(LONGEST) else None


def _uses_spot(shares: tuple[CapacityShare, ...]) -> bool:
    return any(share.provider == SPOT and share.weight for share in shares)


def _is_short(status: FleetStatus, now_ms: int) -> bool:
    """Whether ECS has said so for a while, and not since that all workers run."""
    said: list[int] = []
    for event in status.events:
        if event.at_ms < status.deployed_at_ms or _STEADY in event.text:
            break
        if _says_short(event.text):
            said.append(event.at_ms)
    if not said:
        return False
    newest, oldest = said[0], said[-1]
    return oldest <= now_ms - span_ms(WAITED) and newest >= now_ms - span_ms(REMEMBERED)


def _says_short(text: str) -> bool:
    lower = text.lower()
    return all(words in lower for words in _SHORT)


def _on_demand(deployed: tuple[CapacityShare, ...]) -> tuple[CapacityShare, ...]:
    """All weight on demand, and the same base."""
    base = sum(share.base for share in deployed)
    return (CapacityShare(provider=ON_DEMAND, weight=1, base=base),)
