"""How many workers a queue should have: a pure function of what was last seen of it.

Four rules, in order of weight:

- Up at once to what is needed: each worker runs `jobs_at_a_time` of the jobs that wait or run.
- Never below the workers that are busy. ECS chooses which ones to stop; the busy ones protect
  themselves, and a number that covers them all leaves ECS no reason to touch them.
- Down only to the most that was needed since the need fell, after one more look. Starting a worker
  takes about as long as we wait here, so stopping one sooner would save nothing. The last worker
  waits for the idle time, because the next job may come soon.
- Out of doubt, one step at a time. If a count is missing, one worker at most is added and none is
  stopped. If starts fail, one more than what runs is tried, until all of them run well again.

Why not by CPU, by visible messages alone, or by alarms: docs/adr/0112.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import timedelta
from typing import Final

from remotejob.domain.fleet import WorkersDescription
from remotejob.domain.times import span_ms

HOLD: Final = timedelta(seconds=45)
"""How long fewer workers must have been enough: one tick of the scheduler, which may be early."""

MOST_FAILED_STARTS: Final = 3
"""So many failed starts are bad luck; from here on they are a fault that more starts don't mend."""

QUIET: Final = timedelta(minutes=3)
"""How long no start must have failed, and all workers run, for the fault to count as mended."""


@dataclass(frozen=True, kw_only=True, slots=True)
class LaneCount:
    """How many messages a lane has, as the queue last counted them: it may be a minute late."""

    visible: int
    in_flight: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Seen:
    """What one look at a queue found."""

    now_ms: int
    lanes: tuple[LaneCount | None, ...]
    """None for a lane that could not be counted."""
    desired: int
    running: int
    busy: int | None = None
    """Workers with jobs, by their last signs of life; None if these were not read."""
    failed_starts: int = 0
    """Workers that failed to start lately; see `remotejob.domain.starts`."""
    last_failure_ms: int | None = None
    paused: str | None = None
    """Why its jobs must wait, such as a spent budget or a stop; None if they need not."""
    nudged: bool = False
    """Whether somebody has just sent a message, which may not have been counted yet."""

    @property
    def complete(self) -> bool:
        return all(lane is not None for lane in self.lanes)

    @property
    def waiting(self) -> int:
        """Jobs that could start; none while the queue is paused."""
        if self.paused is not None:
            return 0
        visible = sum(lane.visible for lane in self.lanes if lane is not None)
        return max(visible, 1) if self.nudged else visible

    @property
    def held(self) -> int:
        """Jobs that workers hold."""
        return sum(lane.in_flight for lane in self.lanes if lane is not None)


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingState:
    """What the next look must know of the earlier ones."""

    idle_since_ms: int | None = None
    """Since when there has been no work; None while there is some."""
    lower_since_ms: int | None = None
    """Since when fewer workers than desired would have been enough."""
    highest: int = 0
    """The most that were needed since then."""
    failing_since_ms: int | None = None
    """Since when no more workers are started because starts fail; None if they don't."""
    well_since_ms: int | None = None
    """While starts fail: since when all workers have run, and none failed."""
    mended_ms: int | None = None
    """When starts last stopped failing; failures before that are over."""
    changed_ms: int | None = None
    """When the desired count was last changed."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Decision:
    """The desired count, and why, for people to read."""

    desired: int
    reason: str
    state: ScalingState


def decide(seen: Seen, rules: WorkersDescription, before: ScalingState) -> Decision:
    """The number of workers that a queue should have from now on."""
    state = _idle(seen, _failing(seen, before))
    target, why = _target(seen, rules, state)
    if target < seen.desired:
        desired, state = _lower(seen, rules, target, state)
    else:
        desired = target if seen.complete else min(target, seen.desired + 1)
        state = replace(state, lower_since_ms=None, highest=0)
    if not seen.complete:
        why = f"the messages of a lane could not be counted; {why}"
    if desired != seen.desired:
        state = replace(state, changed_ms=seen.now_ms)
    return Decision(desired=desired, reason=why, state=state)


def _target(seen: Seen, rules: WorkersDescription, state: ScalingState) -> tuple[int, str]:
    """How many workers are enough now, whatever there were before."""
    jobs = seen.waiting + seen.held
    # without signs of life, each held job may be another worker's
    busy = min(seen.held, seen.desired) if seen.busy is None else seen.busy
    if seen.paused is not None:
        return busy, f"{seen.paused}; {busy} workers are busy"
    needed = -(-jobs // rules.jobs_at_a_time)
    target = max(min(needed, rules.max_workers), busy, rules.min_workers)
    why = f"{seen.waiting} jobs wait and {seen.held} are held, {busy} workers are busy"
    if needed > rules.max_workers:
        why += f"; {needed} workers would be needed, and max_workers is {rules.max_workers}"
    if target == 0 and seen.desired > 0 and not _idle_enough(seen, rules, state):
        target, why = 1, f"no work for less than {rules.idle // timedelta(minutes=1)} minutes"
    elif target == 0:
        why = "no work"
    if state.failing_since_ms is not None:
        # one that starts is a trial, and those that run wait for its end
        tried = max(1, busy, min(seen.desired, seen.running + 1))
        if target > tried:
            why = (
                f"{seen.failed_starts} workers failed to start: no more than {tried} are tried"
                f" until they run well; {why}"
            )
        target = min(target, tried)
    return target, why


def _lower(
    seen: Seen, rules: WorkersDescription, target: int, state: ScalingState
) -> tuple[int, ScalingState]:
    """Go down, but only after another look, and to the most that was needed meanwhile."""
    over = replace(state, lower_since_ms=None, highest=0)
    if not seen.complete:
        return seen.desired, over
    if _idle_enough(seen, rules, state):
        # nothing was needed for much longer than that
        return target, over
    if state.failing_since_ms is not None and target > seen.running:
        # those above it do not run, and will not
        return target, over
    since = seen.now_ms if state.lower_since_ms is None else state.lower_since_ms
    highest = min(max(state.highest, target), seen.desired)
    if seen.now_ms - since < span_ms(HOLD):
        return seen.desired, replace(state, lower_since_ms=since, highest=highest)
    if target == highest:
        return highest, over
    return highest, replace(state, lower_since_ms=seen.now_ms, highest=target)


def _idle(seen: Seen, state: ScalingState) -> ScalingState:
    if seen.waiting or seen.held or seen.busy:
        return replace(state, idle_since_ms=None)
    if state.idle_since_ms is None and seen.complete:
        return replace(state, idle_since_ms=seen.now_ms)
    return state


def _idle_enough(seen: Seen, rules: WorkersDescription, state: ScalingState) -> bool:
    since = state.idle_since_ms
    return since is not None and seen.now_ms - since >= span_ms(rules.idle)


def _failing(seen: Seen, state: ScalingState) -> ScalingState:
    """Whether starts fail: most of them did lately, or did once and none has run well since."""
    if state.failing_since_ms is None:
        most_fail = (
            seen.failed_starts >= MOST_FAILED_STARTS and 2 * seen.failed_starts >= seen.running
        )
        over = state.mended_ms is not None and (seen.last_failure_ms or 0) <= state.mended_ms
        since = seen.now_ms if most_fail and not over else None
        return replace(state, failing_since_ms=since, well_since_ms=None)
    failure = seen.last_failure_ms
    recent = failure is not None and seen.now_ms - failure < span_ms(QUIET)
    if recent or not 0 < seen.desired <= seen.running:
        return replace(state, well_since_ms=None)
    well_since = seen.now_ms if state.well_since_ms is None else state.well_since_ms
    if seen.now_ms - well_since >= span_ms(QUIET):
        return replace(state, failing_since_ms=None, well_since_ms=None, mended_ms=seen.now_ms)
    return replace(state, well_since_ms=well_since)
