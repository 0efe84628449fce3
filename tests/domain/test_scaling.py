"""How many workers a queue should have: each rule by itself."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta

import pytest

from remotejob.domain.fleet import StoppedTask, WorkersDescription
from remotejob.domain.scaling import (
    HOLD,
    MOST_FAILED_STARTS,
    QUIET,
    Decision,
    LaneCount,
    ScalingState,
    Seen,
    decide,
)
from remotejob.domain.starts import EARLY, LATELY, crashes, failed_starts
from remotejob.domain.times import span_ms

MINUTE = 60_000
RULES = WorkersDescription(
    cluster="c",
    service="s",
    min_workers=0,
    max_workers=10,
    jobs_at_a_time=4,
    idle=timedelta(minutes=5),
    capacity=(),
)
NONE = LaneCount(visible=0, in_flight=0)


def seen(
    minute: float,
    *,
    visible: int = 0,
    in_flight: int = 0,
    desired: int = 0,
    running: int | None = None,
    busy: int | None = 0,
    failed: int = 0,
    last_failure_ms: int | None = None,
    paused: str | None = None,
    nudged: bool = False,
    missing: int = 0,
) -> Seen:
    """What a look in that minute found; `missing` lanes could not be counted."""
    lanes = (LaneCount(visible=visible, in_flight=in_flight), NONE, NONE)
    return Seen(
        now_ms=round(minute * MINUTE),
        lanes=(*lanes[: 3 - missing], *[None] * missing),
        desired=desired,
        running=desired if running is None else running,
        busy=busy,
        failed_starts=failed,
        last_failure_ms=last_failure_ms,
        paused=paused,
        nudged=nudged,
    )


def run(*looks: Seen, rules: WorkersDescription = RULES) -> list[int]:
    """What is decided at each look; each sees the count that the one before decided."""
    state, desired, found = ScalingState(), looks[0].desired, []
    for look in looks:
        decision = decide(replace(look, desired=desired), rules, state)
        state, desired = decision.state, decision.desired
        found.append(desired)
    return found


def once(look: Seen, rules: WorkersDescription = RULES) -> Decision:
    return decide(look, rules, ScalingState())


@pytest.mark.parametrize(
    ("visible", "in_flight", "workers"),
    [(0, 0, 0), (1, 0, 1), (4, 0, 1), (5, 0, 2), (3, 6, 3), (1_000_000, 0, 10)],
)
def test_as_many_start_at_once_as_what_waits_and_runs_needs(
    visible: int, in_flight: int, workers: int
) -> None:
    assert once(seen(0, visible=visible, in_flight=in_flight)).desired == workers


def test_a_bound_that_is_too_low_is_said() -> None:
    reason = once(seen(0, visible=100)).reason
    assert "25 workers would be needed, and max_workers is 10" in reason


def test_workers_that_are_still_starting_are_not_asked_for_again() -> None:
    looks = [seen(minute, visible=12, running=0) for minute in range(6)]
    assert run(*looks) == [3] * 6


def test_fewer_are_wanted_only_after_another_look_and_as_many_as_were_needed_meanwhile() -> None:
    assert run(
        seen(0, visible=40),
        seen(1, in_flight=20, busy=5),
        seen(2, in_flight=8, busy=2),
        seen(3, in_flight=8, busy=2),
        seen(4, in_flight=40, busy=10),
    ) == [10, 10, 5, 2, 10]


def test_a_nudge_between_two_ticks_does_not_shorten_the_wait() -> None:
    assert run(
        seen(0, visible=40),
        seen(1, in_flight=4, busy=1),
        seen(1.2, in_flight=4, busy=1, nudged=True),
        seen(1 + HOLD / timedelta(minutes=1), in_flight=4, busy=1),
    ) == [10, 10, 10, 2]


def test_busy_workers_are_never_too_many() -> None:
    """Four long jobs are one worker's load, but four workers have one each."""
    looks = [seen(minute, in_flight=4, desired=4, busy=4) for minute in range(9)]
    assert run(*looks) == [4] * 9
    lowered = replace(RULES, max_workers=2)
    assert run(*looks, rules=lowered) == [4] * 9


def test_without_signs_of_life_each_held_job_is_a_worker() -> None:
    looks = [seen(minute, in_flight=3, desired=4, busy=None) for minute in range(4)]
    assert run(*looks)[-1] == 3


def test_the_last_worker_waits_for_the_idle_time() -> None:
    looks = [seen(minute, desired=1) for minute in range(9)]
    assert run(*looks) == [1, 1, 1, 1, 1, 0, 0, 0, 0]
    begun = [seen(0, visible=1), *(seen(m) for m in range(1, 4)), seen(4, visible=1)]
    assert run(*begun, *(seen(minute) for minute in range(5, 11))) == [*[1] * 10, 0]


def test_a_first_deployment_starts_one_worker_which_then_idles() -> None:
    assert run(*(seen(minute, desired=1, running=0) for minute in range(8)))[-1] == 0


def test_the_fewest_workers_stay_and_are_started() -> None:
    rules = replace(RULES, min_workers=2)
    assert run(*(seen(minute) for minute in range(20)), rules=rules) == [2] * 20


def test_a_missing_count_stops_nobody_and_adds_one_at_most() -> None:
    assert run(*(seen(minute, desired=6, missing=1) for minute in range(30))) == [6] * 30
    growing = [seen(minute, visible=40, missing=2) for minute in range(3)]
    assert run(*growing) == [1, 2, 3]
    decision = once(seen(0, visible=40, missing=2))
    assert "could not be counted" in decision.reason


def test_minutes_that_could_not_be_counted_are_not_idle() -> None:
    state = ScalingState()
    assert decide(seen(0, desired=1, missing=3), RULES, state).state.idle_since_ms is None


def test_a_nudge_wakes_before_the_message_is_counted() -> None:
    assert once(seen(0, nudged=True)).desired == 1
    assert once(seen(0, nudged=True, paused="it has spent its budget")).desired == 0


def test_a_paused_queue_keeps_its_busy_workers_and_starts_none() -> None:
    why = "the daily budget is spent"
    assert run(
        seen(0, visible=900, in_flight=8, desired=10, busy=3, paused=why),
        seen(1, visible=900, in_flight=8, busy=3, paused=why),
        seen(2, visible=900, busy=0, paused=why),
        seen(3, visible=900, busy=0, paused=why),
        seen(4, visible=900, busy=0, paused=why),
        seen(5, visible=900),
    ) == [10, 3, 3, 0, 0, 10]
    assert why in once(seen(0, visible=900, paused=why)).reason


def test_failed_starts_are_tried_one_at_a_time_and_it_is_said() -> None:
    looks = [seen(0, visible=40)]
    looks += [
        seen(minute, visible=40, running=0, failed=MOST_FAILED_STARTS, last_failure_ms=minute)
        for minute in range(1, 30)
    ]
    assert run(*looks) == [10, *[1] * 29]
    decision = once(seen(1, visible=40, desired=10, running=0, failed=4))
    assert decision.state.failing_since_ms == MINUTE
    assert decision.reason.startswith("4 workers failed to start: no more than 1 are tried")


def test_a_few_bad_starts_among_many_good_ones_hold_nothing_up() -> None:
    assert run(seen(0, visible=40, desired=8, running=7, failed=3)) == [10]


def test_failures_that_ecs_makes_ever_rarer_are_not_forgotten() -> None:
    failing = seen(1, visible=40, desired=10, running=0, failed=3, last_failure_ms=MINUTE)
    rare = [seen(minute, visible=40, running=0) for minute in range(2, 60)]
    # it runs for a moment, and fails again
    rare[20] = replace(rare[20], running=1)
    assert set(run(failing, *rare)) == {1}


def test_once_a_worker_runs_well_all_that_are_needed_start() -> None:
    failing = seen(1, visible=40, desired=10, running=0, failed=3, last_failure_ms=MINUTE)
    well = [
        seen(minute, visible=40, running=1, failed=3, last_failure_ms=MINUTE)
        for minute in range(2, 10)
    ]
    found = run(failing, *well)
    quiet = QUIET // timedelta(minutes=1)
    # quiet since the last failure, and then as long again
    assert found == [1] * (2 * quiet) + [10] * (len(found) - 2 * quiet)


def test_a_quota_leaves_those_that_run_and_tries_one_more() -> None:
    looks = [
        seen(minute, visible=900, desired=10, running=4, failed=9, last_failure_ms=minute * MINUTE)
        for minute in range(9)
    ]
    assert run(*looks) == [5] * 9


def test_the_time_of_the_last_change_is_kept() -> None:
    first = once(seen(3, visible=1))
    assert first.state.changed_ms == 3 * MINUTE
    same = decide(seen(4, visible=1, desired=1), RULES, first.state)
    assert same.state.changed_ms == 3 * MINUTE


NOW = 10_000_000


def stopped(**facts: object) -> StoppedTask:
    usual: dict[str, object] = {"id": "t", "at_ms": NOW - 1, "reason": ""}
    return StoppedTask(**{**usual, **facts})  # type: ignore[arg-type]


STARTED = NOW - span_ms(EARLY) + 1000
LONG_AGO = NOW - 10 * span_ms(EARLY)


@pytest.mark.parametrize(
    ("task", "failed", "crashed"),
    [
        (stopped(code="TaskFailedToStart", reason="CannotPullContainerError"), 1, 0),
        (stopped(), 1, 0),
        (stopped(code="ServiceSchedulerInitiated"), 0, 0),
        (stopped(code="UserInitiated"), 0, 0),
        (stopped(started_at_ms=STARTED, exit_code=2, code="EssentialContainerExited"), 1, 1),
        (stopped(started_at_ms=LONG_AGO, exit_code=137, code="EssentialContainerExited"), 0, 1),
        (stopped(started_at_ms=STARTED, exit_code=0, code="EssentialContainerExited"), 0, 0),
        (stopped(started_at_ms=STARTED, exit_code=75, code="EssentialContainerExited"), 0, 0),
        (stopped(started_at_ms=STARTED, exit_code=137, code="SpotInterruption"), 0, 0),
        (stopped(started_at_ms=LONG_AGO, exit_code=0, code="ServiceSchedulerInitiated"), 0, 0),
        (
            stopped(
                started_at_ms=STARTED,
                code="ServiceSchedulerInitiated",
                reason="Task failed container health checks",
            ),
            1,
            1,
        ),
        (stopped(at_ms=NOW - span_ms(LATELY), code="TaskFailedToStart"), 0, 0),
    ],
)
def test_stopped_workers_are_failed_starts_crashes_or_neither(
    task: StoppedTask, failed: int, crashed: int
) -> None:
    assert len(failed_starts([task], now_ms=NOW)) == failed
    assert len(crashes([task], now_ms=NOW)) == crashed
