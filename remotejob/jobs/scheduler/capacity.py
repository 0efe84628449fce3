"""Lets workers run on demand while Fargate Spot is short, and on Spot again afterwards."""

from __future__ import annotations

import logging
from collections import Counter

from remotejob.domain.fleet import CapacityShare
from remotejob.domain.spot import shift
from remotejob.ports import Installation

log = logging.getLogger(__name__)


def shift_capacity(installation: Installation) -> Counter[str]:
    """Change the capacity of the services that need it, and count them.

    It asks only about queues whose settings give a share to Spot. A service that cannot be read or
    changed is logged, and holds up no other.
    """
    counts: Counter[str] = Counter()
    for queue in installation.queues.values():
        if queue.size is None or not queue.size.spot_percent:
            continue
        try:
            shares = _wanted(queue.name, installation)
            if shares is None:
                continue
            installation.fleet.set_capacity(queue.name, shares)
        except Exception:
            log.exception("cannot choose the capacity of queue %s", queue.name)
            continue
        log.warning(
            "the workers of queue %s now run on %s",
            queue.name,
            ", ".join(f"{share.provider} (weight {share.weight})" for share in shares),
        )
        counts["capacity shifted"] += 1
    return counts


def _wanted(queue: str, installation: Installation) -> tuple[CapacityShare, ...] | None:
    described = installation.fleet.describe(queue)
    status = installation.fleet.status(queue)
    if described is None or status is None:
        return None
    return shift(described, status, now_ms=installation.clock.now_ms())
