"""The service scheduler keeps desired counts, rolls over, gives up and protects, as ECS does."""

from __future__ import annotations

import signal
from dataclasses import replace

import pytest

from remotejob.local.ecs.faults import StartFault
from remotejob.local.ecs.service import Provider, Rollout, Status, StopCode
from tests.local.ecs.stage import FIRST, SECOND, STOP_TIMEOUT_S, FakeProcess, Stage


def test_service_starts_as_many_tasks_as_are_desired() -> None:
    stage = Stage(desired=2)
    assert len(stage.running()) == 2
    assert stage.rollout() is Rollout.IN_PROGRESS
    stage.passes(3)
    assert stage.rollout() is Rollout.COMPLETED
    assert stage.events()[-1] == "has reached a steady state."
    assert stage.said("has started 2 tasks: (task ")


def test_service_without_tasks_is_deployed_at_once() -> None:
    stage = Stage(desired=0)
    assert stage.rollout() is Rollout.COMPLETED
    assert not stage.processes


def test_scale_in_stops_the_surplus_and_says_who_asked() -> None:
    stage = Stage(desired=3)
    stage.passes(3)
    stage.desire(1)
    assert len(stage.running()) == 1
    stopped = [task for task in stage.service.tasks if task.status is Status.STOPPED]
    assert [task.stop_code for task in stopped] == [StopCode.SCHEDULER] * 2
    assert stopped[0].reason.startswith("Scaling activity initiated by (deployment ecs-svc/")
    assert [task.exit_code for task in stopped] == [0, 0]
    assert stage.said("has stopped 2 running tasks: (task ")


def test_task_that_does_not_end_is_killed_after_its_stop_timeout() -> None:
    stage = Stage(desired=1)
    stage.processes[0].is_busy = True
    stage.desire(0)
    assert not stage.service.live()
    stage.passes(STOP_TIMEOUT_S - 1)
    assert stage.processes[0].got == [signal.SIGTERM]
    stage.passes(1)
    assert stage.processes[0].got == [signal.SIGTERM, signal.SIGKILL]
    stage.settle()
    assert stage.service.tasks[0].exit_code == 137


def test_task_that_dies_is_replaced() -> None:
    stage = Stage(desired=1)
    stage.passes(10)
    stage.processes[0].code = -9
    stage.settle()
    assert len(stage.running()) == 1
    died = stage.service.tasks[0]
    assert (died.stop_code, died.exit_code) == (StopCode.CONTAINER_EXITED, 137)
    assert died.reason == "Essential container in task exited"


def test_restarts_of_what_fails_to_start_are_throttled() -> None:
    stage = Stage(desired=1, configuration=replace(FIRST, breaks=False))
    stage.break_starts(StartFault.EXITS_AT_ONCE)
    stage.processes[0].code = 1
    stage.passes(20)
    # at 1, 3, 7 and 15 s
    assert len(stage.processes) == 5
    assert stage.said("is unable to consistently start tasks successfully")
    stage.break_starts(None)
    stage.passes(60)
    assert (len(stage.running()), stage.service.failures) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (StartFault.NO_CAPACITY, "Capacity is unavailable at this time"),
        (StartFault.QUOTA, "You've reached the limit on the number of vCPUs"),
    ],
)
def test_task_that_cannot_be_placed_is_an_event_and_no_task(fault: StartFault, said: str) -> None:
    stage = Stage()
    stage.break_starts(fault)
    stage.desire(1)
    assert not stage.service.tasks
    assert stage.said(f"was unable to place a task. Reason: {said}")
    stage.break_starts(None)
    stage.passes(2)
    assert len(stage.running()) == 1


def test_image_that_is_not_there_is_the_reason_of_a_stopped_task() -> None:
    stage = Stage()
    stage.break_starts(StartFault.IMAGE_PULL)
    stage.desire(1)
    failed = stage.service.tasks[0]
    assert (failed.status, failed.stop_code) == (Status.STOPPED, StopCode.FAILED_TO_START)
    assert failed.reason.startswith("CannotPullContainerError: ")
    assert failed.container_reason == failed.reason
    assert (failed.exit_code, failed.started_at) == (None, None)


def test_role_that_may_not_be_assumed_is_an_event() -> None:
    stage = Stage()
    stage.untrusted.add(FIRST.task_definition)
    stage.desire(1)
    assert stage.said("failed to launch a task with (error ECS was unable to assume the role")
    assert not stage.service.tasks


def test_new_version_starts_before_the_old_one_is_stopped() -> None:
    stage = Stage(desired=1)
    stage.passes(5)
    stage.deploy(SECOND)
    assert stage.versions() == ["task:1", "task:2"]
    stage.passes(2)
    assert stage.versions() == ["task:1", "task:2"]
    stage.passes(1)
    assert stage.versions() == ["task:2"]
    assert stage.rollout() is Rollout.COMPLETED
    assert stage.said("deployment completed.")


def test_protected_task_is_not_stopped_until_it_is_free() -> None:
    stage = Stage(desired=2)
    stage.passes(5)
    first = stage.running()[0]
    for task in stage.running():
        assert stage.scheduler.protect(task, 15) is None
    stage.desire(0)
    assert len(stage.running()) == 2
    assert stage.said("was unable to scale in due to (reason 2 tasks under protection)")
    assert stage.scheduler.protect(first, None) is None
    stage.settle()
    assert first not in stage.running()
    # the other one's protection expires
    stage.passes(15 * 60)
    assert not stage.running()


def test_scale_in_skips_the_protected_task() -> None:
    stage = Stage(desired=2)
    stage.passes(5)
    newest = stage.running()[1]
    stage.scheduler.protect(newest, 15)
    stage.desire(1)
    assert stage.running() == [newest]


def test_deployment_is_blocked_by_protection_and_refuses_more_of_it() -> None:
    stage = Stage(desired=1)
    stage.passes(5)
    [old] = stage.running()
    stage.scheduler.protect(old, 15)
    stage.deploy(SECOND)
    stage.passes(10)
    assert stage.versions() == ["task:1", "task:2"]
    assert stage.service.is_blocked
    assert stage.said("was unable to stop or start tasks during a deployment")
    assert stage.rollout() is Rollout.IN_PROGRESS
    assert stage.scheduler.protect(stage.running()[1], 15) == "DEPLOYMENT_BLOCKED"
    assert stage.scheduler.protect(old, None) is None
    stage.settle()
    assert stage.versions() == ["task:2"]
    assert not stage.service.is_blocked


def test_circuit_breaker_rolls_back_to_what_worked() -> None:
    stage = Stage(desired=1)
    stage.passes(5)
    stage.break_starts(StartFault.EXITS_AT_ONCE)
    stage.deploy(SECOND)
    failing = stage.service.primary
    stage.passes(10)
    assert failing.rollout is Rollout.FAILED
    assert failing.failed_tasks == 3
    stage.break_starts(None)
    stage.passes(5)
    assert stage.service.primary.configuration.task_definition == "task:1"
    assert stage.rollout() is Rollout.COMPLETED
    assert stage.versions() == ["task:1"]
    assert stage.said("deployment failed: tasks failed to start.")
    assert stage.said("rolling back to deployment ecs-svc/")


def test_first_deployment_that_fails_starts_nothing_more() -> None:
    stage = Stage(desired=1)
    stage.break_starts(StartFault.EXITS_AT_ONCE)
    stage.processes[0].code = 1
    stage.passes(100)
    assert stage.rollout() is Rollout.FAILED
    assert len(stage.processes) == 3
    assert stage.service.primary.rollout_reason == (
        "ECS deployment circuit breaker: tasks failed to start."
    )


def test_deployment_that_was_complete_without_tasks_is_not_ended_by_the_circuit_breaker() -> None:
    stage = Stage(desired=0)
    stage.break_starts(StartFault.EXITS_AT_ONCE)
    stage.desire(1)
    stage.passes(100)
    assert stage.rollout() is Rollout.COMPLETED
    assert stage.said("is unable to consistently start tasks successfully")
    assert len(stage.processes) > 3


def test_shares_of_capacity_providers_are_kept() -> None:
    shared = replace(
        FIRST,
        providers=(
            Provider(name="FARGATE", weight=1, base=1),
            Provider(name="FARGATE_SPOT", weight=3),
        ),
    )
    stage = Stage(desired=5, configuration=shared)
    placed = [task.provider for task in stage.running()]
    assert sorted(placed) == ["FARGATE"] * 2 + ["FARGATE_SPOT"] * 3
    assert placed[0] == "FARGATE"
    assert stage.scheduler.interrupt_spot() == 3
    stage.break_starts(StartFault.NO_SPOT_CAPACITY)
    stage.settle()
    assert [task.provider for task in stage.running()] == ["FARGATE"] * 2
    assert {t.stop_code for t in stage.service.tasks if not t.is_wanted} == {StopCode.SPOT}
    assert stage.said("was unable to place a task. Reason: Capacity is unavailable")


def test_task_that_is_to_stop_while_it_starts_is_stopped() -> None:
    stage = Stage()

    def stop(_: FakeProcess) -> None:
        stage.scheduler.update(stage.service.arn, desired=0)
        stage.scheduler.stop_task(stage.service.tasks[0], "enough")

    stage.when_launched = stop
    stage.desire(1)
    assert stage.processes[0].got == [signal.SIGTERM]
    assert (stage.service.tasks[0].reason, stage.service.tasks[0].stop_code) == (
        "enough",
        StopCode.USER,
    )


def test_held_services_stop_all_and_start_anew() -> None:
    stage = Stage(desired=2)
    stage.passes(5)
    for process in stage.processes:
        process.is_busy = True
    assert stage.scheduler.hold(hurry_s=5, kill_s=20) == 2
    stage.passes(5)
    assert len(stage.processes) == 2
    assert stage.processes[0].got == [signal.SIGTERM, signal.SIGQUIT]
    stage.scheduler.go()
    stage.settle()
    assert len(stage.running()) == 2
    assert len(stage.processes) == 4


def test_deleted_service_stops_even_what_is_protected() -> None:
    stage = Stage(desired=1)
    stage.scheduler.protect(stage.running()[0], 15)
    stage.scheduler.delete(stage.service.arn)
    stage.passes(5)
    assert not stage.service.live()
    assert stage.processes[0].got == [signal.SIGTERM]


def test_changes_tell_starts_and_ends_in_order() -> None:
    stage = Stage(desired=1)
    stage.processes[0].code = 2
    stage.passes(2)
    started, ended, again = stage.scheduler.changes(0)
    assert (started.has_started, started.pid) == (True, 0)
    assert (ended.exit_code, ended.by_itself, ended.failed_in_a_row) == (2, True, 1)
    assert again.has_started
    assert stage.scheduler.changes(again.number) == []


def test_thread_waits_until_something_is_due() -> None:
    stage = Stage(desired=1)
    assert 0 < stage.scheduler.step() <= 1
