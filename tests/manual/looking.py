"""What tests of jobs taken by hand look at."""

from __future__ import annotations

from remotejob.domain.priority import Lane
from remotejob.ports import Address, Channel, Depth, Installation


def depth(installation: Installation, queue: str = "default") -> Depth:
    """About all lanes of a queue together."""
    lanes = [installation.messages.depth(Address(queue, Channel(lane.value))) for lane in Lane]
    return Depth(
        visible=sum(lane.visible for lane in lanes),
        hidden=sum(lane.hidden for lane in lanes),
        delayed=sum(lane.delayed for lane in lanes),
    )


EMPTY = Depth(visible=0, hidden=0, delayed=0)
