"""Scales the workers of every queue: reads its lanes and its service, decides, and changes it.

One queue's failure does not hold back the others. Two schedulers at once do no harm: each sets the
count that it finds right.
"""

from __future__ import annotations

import logging
from collections.abc import Collection
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Final

from remotejob.domain.fleet import FleetStatus, StoppedTask, WorkersDescription
from remotejob.domain.priority import Lane
from remotejob.domain.scaling import Decision, LaneCount, ScalingState, Seen, decide
from remotejob.domain.starts import crashes, failed_starts
from remotejob.domain.text import cut
from remotejob.jobs.coordination.queue_switch import stop_of
from remotejob.jobs.coordination.scaling_state import ScalingNote, load_scaling, save_scaling
from remotejob.jobs.queries.budgets import pause_of
from remotejob.jobs.queries.workers import workers
from remotejob.ports import Address, Channel, Installation

log = logging.getLogger(__name__)

_AT_A_TIME: Final = 8
"""Queues; more would only wait for the API of ECS, which is throttled by account."""

_EMPTY: Final = LaneCount(visible=0, in_flight=0)

_LONGEST: Final = 300
"""Characters of what ECS said of a failure."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scaled:
    """What became of one queue's workers."""

    queue: str
    desired: int
    before: int
    """How many were desired before."""
    note: ScalingNote


def scale(
    installation: Installation,
    *,
    queues: Collection[str] | None = None,
    nudged: bool = False,
) -> list[Scaled]:
    """Scale the workers of these queues, by default of all.

    nudged: whether somebody has just sent messages to them, which SQS may not have counted yet.
    A queue that failed is logged and left out.
    """
    wanted = [name for name in installation.queues if queues is None or name in queues]
    with ThreadPoolExecutor(_AT_A_TIME, thread_name_prefix="scaling") as pool:
        found = pool.map(lambda name: _try_to_scale(name, installation, nudged=nudged), wanted)
        return [one for one in found if one is not None]


def _try_to_scale(queue: str, installation: Installation, *, nudged: bool) -> Scaled | None:
    try:
        return _scale(queue, installation, nudged=nudged)
    except Exception:
        # the next tick tries again, and the other queues have their turn
        log.exception("workers not scaled", extra={"queue": queue})
        return None


def _scale(queue: str, installation: Installation, *, nudged: bool) -> Scaled | None:
    rules = installation.fleet.describe(queue)
    # without workers of its own, it has some elsewhere, and none to scale
    if rules is None or rules.max_workers == 0:
        return None
    status = installation.fleet.status(queue)
    if status is None:
        return None
    asleep = status.desired == 0 and status.running == 0
    stopped = () if asleep else installation.fleet.stopped(queue)
    noted = load_scaling(queue, installation)
    state = ScalingState() if noted is None else noted.state
    now_ms = installation.clock.now_ms()
    lanes = tuple(_count(Address(queue, Channel(lane)), installation) for lane in Lane)
    # an idle queue's tick does not read whether it may start workers
    idle = asleep and not (nudged or rules.min_workers or any(lane != _EMPTY for lane in lanes))
    failed = failed_starts(stopped, now_ms=now_ms, since_ms=state.mended_ms)
    seen = Seen(
        now_ms=now_ms,
        lanes=lanes,
        desired=status.desired,
        running=status.running,
        busy=0 if asleep else _busy(queue, status, rules, installation),
        failed_starts=max(len(failed), status.failed_starts),
        last_failure_ms=failed[0].at_ms if failed else None,
        paused=None if idle else _paused(queue, installation),
        nudged=nudged,
    )
    decision = decide(seen, rules, state)
    if decision.desired != status.desired:
        installation.fleet.set_desired(queue, decision.desired)
        log.info(
            "%d workers, not %d: %s", decision.desired, status.desired, decision.reason,
            extra={"queue": queue},
        )  # fmt: skip
    note = _note(decision, seen, failed, crashes(stopped, now_ms=now_ms))
    # an idle queue changes nothing, and its tick writes nothing
    if note != noted:
        save_scaling(queue, note, installation)
    return Scaled(queue=queue, desired=decision.desired, before=status.desired, note=note)


def _note(
    decision: Decision,
    seen: Seen,
    failed: tuple[StoppedTask, ...],
    crashed: tuple[StoppedTask, ...],
) -> ScalingNote:
    last = max((*failed, *crashed), key=lambda task: task.at_ms, default=None)
    return ScalingNote(
        state=decision.state,
        desired=decision.desired,
        reason=decision.reason,
        failed_starts=seen.failed_starts,
        crashes=len(crashed),
        last_failure="" if last is None else _said(last),
    )


def _said(task: StoppedTask) -> str:
    exit_code = "" if task.exit_code is None else f"exit code {task.exit_code}"
    parts = (task.reason, task.container_reason, exit_code)
    return cut("; ".join(part for part in parts if part), _LONGEST)


def _count(lane: Address, installation: Installation) -> LaneCount | None:
    try:
        depth = installation.messages.depth(lane)
    except Exception:
        log.exception("lane not counted", extra={"queue": lane.queue})
        return None
    return LaneCount(visible=depth.visible, in_flight=depth.hidden)


def _busy(
    queue: str, status: FleetStatus, rules: WorkersDescription, installation: Installation
) -> int | None:
    """Deployed workers that have jobs; None if that cannot be read."""
    try:
        found = workers(installation, queue)
    except Exception:
        log.exception("signs of life not read", extra={"queue": queue})
        return None
    names = [one.name for one in found if one.running and one.alive is not False]
    # a worker with child processes gives a sign for each, under the name of its machine
    machines = {name.partition(".")[0] for name in names}
    processes = max((rules.jobs_at_a_time // max(1, one.concurrency) for one in found), default=1)
    # there may be more elsewhere
    return min(max(len(machines), -(-len(names) // max(1, processes))), status.running)


def _paused(queue: str, installation: Installation) -> str | None:
    """Why a queue's jobs must wait; None if they need not, or if that cannot be read."""
    try:
        stopped = stop_of(queue, installation)
        if stopped is not None:
            return str(stopped)
        return pause_of(installation.queues[queue], installation)
    except Exception:
        # workers keep to both themselves
        log.exception("switch and daily budget not read", extra={"queue": queue})
        return None
