"""The service scheduler: brings every service to its desired count, and keeps it there.

One thread. It launches without holding the lock, because a launch takes a request or two. Tests
call `step` instead of starting the thread.

Source: Amazon ECS Developer Guide, "Amazon ECS services", "Amazon ECS task lifecycle", "Amazon ECS
service throttle logic".

Limits: a task that lives for a few seconds counts as healthy; its health check is not run.
"""

from __future__ import annotations

import logging
import signal
import threading
import uuid
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final, Protocol

from remotejob.local.ecs import decisions, wording
from remotejob.local.ecs.faults import SPOT, StartFault, unplaced
from remotejob.local.ecs.history import Change, History
from remotejob.local.ecs.service import (
    Configuration,
    Deployment,
    Process,
    Rollout,
    Service,
    Status,
    StopCode,
    Task,
)

_LOG = logging.getLogger(__name__)
_KEPT: Final = timedelta(hours=1)
"""How long ECS describes a stopped task."""
_LONGEST_PAUSE_S: Final = 1.0


class FailedToStart(Exception):
    """A task that was placed cannot start; the message is ECS's reason."""


class Launcher(Protocol):
    """Makes processes of tasks."""

    def unlaunchable(self, task_definition: str) -> str | None:
        """Why ECS would launch no task of this definition; None if it would."""

    def launch(self, service: Service, task: Task, fault: StartFault | None) -> Process:
        """Start the process. Raises: FailedToStart."""

    def stop_timeout_s(self, task_definition: str) -> float:
        """Between SIGTERM and SIGKILL."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Pace:
    """The seconds that ECS takes for what a user of this machine would not wait for."""

    settle_s: float = 3.0
    """A task that ends sooner has failed to start."""
    first_wait_s: float = 1.0
    """Before the start that follows a failed one; each further failure doubles it."""
    longest_wait_s: float = 30.0


@dataclass(kw_only=True)
class _State:
    services: dict[str, Service] = field(default_factory=dict)
    faults: dict[str | None, StartFault] = field(default_factory=dict)
    """By name of the service; None is for all."""
    goes: bool = False
    closed: bool = False
    poked: bool = False


class Scheduler:
    """The services of one account and region."""

    def __init__(
        self,
        launcher: Launcher,
        *,
        monotonic: Callable[[], float],
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
        pace: Pace | None = None,
    ) -> None:
        self._launcher = launcher
        self._monotonic, self._now = monotonic, now
        self._pace = pace or Pace()
        self._changed = threading.Condition(threading.RLock())
        self._state = _State()
        self._history = History()

    # --- what the API does -----------------------------------------------------------------------

    def create(
        self,
        arn: str,
        *,
        name: str,
        cluster: str,
        region: str,
        account: str,
        desired: int,
        configuration: Configuration,
    ) -> None:
        """Have a new service, or one in the place of a deleted one."""
        with self._changed:
            before = self._state.services.get(arn)
            service = Service(
                arn=arn,
                name=name,
                cluster=cluster,
                region=region,
                account=account,
                desired=desired,
                deployments=[self._deployment(configuration)],
                tasks=before.tasks if before is not None else [],
            )
            self._state.services[arn] = service
            self._poke()

    def update(
        self,
        arn: str,
        *,
        desired: int | None = None,
        configuration: Configuration | None = None,
        anew: bool = False,
    ) -> None:
        """Change the desired count; deploy another configuration, or the same one `anew`."""
        with self._changed:
            service = self._state.services[arn]
            if desired is not None and desired != service.desired:
                service.desired, service.is_steady = desired, False
                service.primary.updated_at = self._now()
            primary = service.primary.configuration
            if anew or (configuration is not None and configuration != primary):
                self._deploy(service, configuration or primary)
            self._poke()

    def delete(self, arn: str) -> None:
        """Stop all tasks of a service, protected or not."""
        with self._changed:
            service = self._state.services[arn]
            service.is_deleted = True
            for task in service.live():
                self._stop(service, task, StopCode.SCHEDULER, wording.SERVICE_DELETED)
            self._poke()

    def stop_task(self, task: Task, reason: str) -> None:
        """Stop a task on a user's request; the service replaces it."""
        with self._changed:
            service = self._service_of(task)
            self._stop(service, task, StopCode.USER, reason or wording.STOPPED_BY_USER)
            self._poke()

    def protect(self, task: Task, minutes: int | None) -> str | None:
        """Protect a task, or no longer (None); return why that is refused.

        Source: ECS Developer Guide, "Amazon ECS API failure reasons": DEPLOYMENT_BLOCKED.
        """
        with self._changed:
            if minutes is None:
                task.protected_until = task.protection_ends = None
                self._poke()
                return None
            if not task.is_wanted or task.status is not Status.RUNNING:
                return "TASK_NOT_VALID"
            if self._service_of(task).is_blocked:
                return "DEPLOYMENT_BLOCKED"
            task.protected_until = self._monotonic() + minutes * 60
            task.protection_ends = self._now() + timedelta(minutes=minutes)
            return None

    # --- what tests and `remotejob local` do -----------------------------------------------------

    def go(self) -> None:
        """Begin to start tasks, or go on after `hold`."""
        with self._changed:
            self._state.goes = True
            self._poke()

    def hold(self, hurry_s: float, kill_s: float) -> int:
        """Stop all tasks at once, and start none until `go`; return how many were stopped.

        They get SIGQUIT after `hurry_s`, and SIGKILL after `kill_s`. Failed starts are forgotten.
        """
        with self._changed:
            self._state.goes = False
            number, now = 0, self._monotonic()
            for service in self._state.services.values():
                service.failures, service.start_at = 0, 0.0
                if service.primary.rollout is Rollout.FAILED:
                    self._deploy(service, service.primary.configuration)
                for task in service.live():
                    number += 1
                    self._stop(service, task, StopCode.USER, wording.STOPPED_BY_USER)
                    task.hurry_at, task.kill_at = now + hurry_s, now + kill_s
            return number

    def break_starts(self, fault: StartFault | None, service: str | None) -> None:
        """Let starts go wrong, for one service or for all; None lets them go well again."""
        with self._changed:
            self._state.faults.pop(service, None)
            if fault is not None:
                self._state.faults[service] = fault
            self._poke()

    def interrupt_spot(self) -> int:
        """Take back the capacity of all tasks on Spot; return how many there were.

        Source: ECS Developer Guide, "Amazon ECS clusters for Fargate Spot": a warning of two
        minutes, SIGTERM, and SIGKILL after the stop timeout.
        """
        with self._changed:
            found = [
                (service, task)
                for service in self._state.services.values()
                for task in service.live()
                if task.provider == SPOT
            ]
            for service, task in found:
                self._stop(service, task, StopCode.SPOT, wording.SPOT_INTERRUPTED)
            self._poke()
            return len(found)

    def changes(self, since: int) -> Sequence[Change]:
        """Starts and ends of tasks, after the first `since`."""
        with self._changed:
            return self._history.since(since)

    # --- what there is ---------------------------------------------------------------------------

    def look(self) -> threading.Condition:
        """The lock under which services may be read."""
        return self._changed

    def service(self, arn: str) -> Service | None:
        return self._state.services.get(arn)

    def tasks(self) -> Iterator[tuple[Service, Task]]:
        """All tasks that are described; hold `look` meanwhile."""
        for service in self._state.services.values():
            for task in service.tasks:
                yield service, task

    def task_of_agent(self, token: str) -> tuple[Service, Task] | None:
        """The task whose agent has this address."""
        with self._changed:
            return next((found for found in self.tasks() if found[1].agent_token == token), None)

    # --- the thread ------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the thread."""
        threading.Thread(target=self._run, name="ecs", daemon=True).start()

    def close(self) -> None:
        """Start nothing any more."""
        with self._changed:
            self._state.closed, self._state.goes = True, False
            self._poke()

    def wake(self) -> None:
        """A process has ended: look now."""
        with self._changed:
            self._poke()

    def step(self) -> float:
        """Do what is due; return the seconds until more may be."""
        with self._changed:
            launches = [
                (service, task)
                for service in self._state.services.values()
                for task in self._step(service)
            ]
        for service, task in launches:
            self._launch(service, task)
        return 0.0 if launches else self._pause()

    def _run(self) -> None:
        while not self._state.closed:
            try:
                pause = self.step()
            except Exception:  # noqa: BLE001 (the others go on)
                _LOG.exception("the scheduler of services")
                pause = _LONGEST_PAUSE_S
            with self._changed:
                if not self._state.poked:
                    self._changed.wait(pause)
                self._state.poked = False

    def _poke(self) -> None:
        """Have the thread look again at once; call it with the lock."""
        self._state.poked = True
        self._changed.notify_all()

    def _pause(self) -> float:
        now = self._monotonic()
        due = [
            at for service in self._state.services.values() for at in self._due(service) if at > now
        ]
        return min([_LONGEST_PAUSE_S, *(at - now for at in due)])

    def _due(self, service: Service) -> Iterator[float]:
        yield service.start_at
        for task in service.unfinished():
            if task.running_since is not None and not task.has_settled:
                yield task.running_since + self._pace.settle_s
            yield from (at for at in (task.kill_at, task.hurry_at) if at is not None)

    def _step(self, service: Service) -> list[Task]:
        """The tasks to launch."""
        now = self._monotonic()
        for task in list(service.unfinished()):
            self._follow(service, task, now)
        self._forget(service)
        if not self._state.goes:
            return []
        if decisions.breaks(service):
            self._break(service)
        planned = decisions.plan(service, now)
        for task in planned.stops:
            self._stop(service, task, StopCode.SCHEDULER, wording.scaling(task.deployment))
        if planned.stops:
            service.say(wording.stopped(planned.stops), self._now())
        self._note_kept(service, planned.kept)
        placed = self._place(service, planned.starts)
        if decisions.has_completed(service):
            self._complete(service)
        return placed

    # --- tasks -----------------------------------------------------------------------------------

    def _follow(self, service: Service, task: Task, now: float) -> None:
        """See whether a task has ended or settled, must be killed, or is protected no longer."""
        if task.protected_until is not None and not task.is_protected(now):
            task.protected_until = task.protection_ends = None
        if task.process is None:
            return
        code = task.process.poll()
        if code is not None:
            self._ended(service, task, code)
        elif task.kill_at is not None and now >= task.kill_at:
            task.kill_at = None
            task.process.send(signal.SIGKILL)
        elif task.hurry_at is not None and now >= task.hurry_at:
            task.hurry_at = None
            task.process.send(signal.SIGQUIT)
        elif (
            task.is_wanted
            and not task.has_settled
            and task.running_since is not None
            and now - task.running_since >= self._pace.settle_s
        ):
            task.has_settled = task.deployment.has_started = True
            task.deployment.failed_tasks = service.failures = 0

    def _ended(self, service: Service, task: Task, code: int) -> None:
        # the number that a container runtime gives for a signal
        task.exit_code = code if code >= 0 else 128 - code
        by_itself = task.is_wanted
        if by_itself:
            task.stop_code, task.reason = StopCode.CONTAINER_EXITED, wording.CONTAINER_EXITED
        self._stopped(service, task)
        if by_itself and not task.has_settled:
            self._failed(service, task.deployment)

    def _stopped(self, service: Service, task: Task) -> None:
        by_itself, task.is_wanted = task.is_wanted, False
        task.status, task.stopped_at = Status.STOPPED, self._now()
        task.stopping_at = task.stopping_at or task.stopped_at
        task.protected_until = None
        service.is_steady = False
        self._history.ended(service, task, by_itself=by_itself)
        self._poke()

    def _failed(self, service: Service, deployment: Deployment) -> None:
        """A task did not start: the next one waits, and the deployment counts it."""
        service.failures += 1
        wait = decisions.throttle(
            service.failures, self._pace.first_wait_s, self._pace.longest_wait_s
        )
        service.start_at = self._monotonic() + wait
        if deployment.rollout is Rollout.IN_PROGRESS and not deployment.has_started:
            deployment.failed_tasks += 1
        if service.failures > 1:
            service.say(wording.INCONSISTENT, self._now())

    def _stop(self, service: Service, task: Task, code: StopCode, reason: str) -> None:
        """Let a task end, unless it already does."""
        if not task.is_wanted:
            return
        task.is_wanted, task.stop_code, task.reason = False, code, reason
        task.stopping_at = self._now()
        if task.process is None:
            # `_launch` ends one that is about to start
            return
        task.status = Status.STOPPING
        timeout = self._launcher.stop_timeout_s(task.deployment.configuration.task_definition)
        task.kill_at = self._monotonic() + timeout
        task.process.send(signal.SIGTERM)
        service.is_steady = False

    def _place(self, service: Service, number: int) -> list[Task]:
        placed: list[Task] = []
        deployment = service.primary
        configuration = deployment.configuration
        for _ in range(number):
            provider = decisions.next_provider(configuration, service.live())
            if (why := unplaced(self._fault(service), provider)) is not None:
                service.say(wording.unplaced(why), self._now())
            elif (why := self._launcher.unlaunchable(configuration.task_definition)) is not None:
                service.say(wording.unlaunched(why), self._now())
            else:
                placed.append(self._task(service, deployment, provider))
                continue
            self._failed(service, deployment)
            break
        if placed:
            service.say(wording.started(placed), self._now())
            service.is_steady = False
        return placed

    def _task(self, service: Service, deployment: Deployment, provider: str) -> Task:
        name = uuid.uuid4().hex
        task = Task(
            id=name,
            arn=f"arn:aws:ecs:{service.region}:{service.account}:task/{service.cluster}/{name}",
            deployment=deployment,
            provider=provider,
            created_at=self._now(),
        )
        service.tasks.append(task)
        return task

    def _launch(self, service: Service, task: Task) -> None:
        try:
            process = self._launcher.launch(service, task, self._fault(service))
        except FailedToStart as problem:
            with self._changed:
                if task.is_wanted:
                    task.stop_code, task.reason = StopCode.FAILED_TO_START, str(problem)
                task.container_reason = str(problem)
                self._stopped(service, task)
                self._failed(service, task.deployment)
            return
        with self._changed:
            task.process, task.log = process, process.log
            task.status, task.started_at = Status.RUNNING, self._now()
            task.running_since = self._monotonic()
            self._history.started(service, task)
            if not task.is_wanted:
                # it was to stop while it started
                task.is_wanted = True
                self._stop(service, task, task.stop_code or StopCode.SCHEDULER, task.reason)
            self._poke()

    def _forget(self, service: Service) -> None:
        """Drop what ECS describes no longer."""
        oldest = self._now() - _KEPT
        service.tasks = [
            task for task in service.tasks if task.stopped_at is None or task.stopped_at > oldest
        ]
        service.deployments = [
            deployment
            for deployment in service.deployments
            if deployment is service.primary
            or any(task.deployment is deployment for task in service.unfinished())
        ]

    # --- deployments -----------------------------------------------------------------------------

    def _deployment(self, configuration: Configuration) -> Deployment:
        at = self._now()
        return Deployment(configuration=configuration, created_at=at, updated_at=at)

    def _deploy(self, service: Service, configuration: Configuration) -> None:
        service.deployments.insert(0, self._deployment(configuration))
        service.failures, service.start_at = 0, 0.0
        service.is_steady = service.is_blocked = False

    def _complete(self, service: Service) -> None:
        primary, at = service.primary, self._now()
        if primary.rollout is Rollout.IN_PROGRESS:
            primary.rollout, primary.updated_at = Rollout.COMPLETED, at
            primary.rollout_reason = f"ECS deployment {primary.id} completed."
            service.completed = primary.configuration
            service.say(f"(deployment {primary.id}) deployment completed.", at)
        if not service.is_steady:
            service.is_steady = True
            service.say(wording.STEADY, at)

    def _break(self, service: Service) -> None:
        failed, at = service.primary, self._now()
        failed.rollout, failed.updated_at = Rollout.FAILED, at
        failed.rollout_reason = wording.CIRCUIT_BROKEN
        service.say(f"(deployment {failed.id}) deployment failed: tasks failed to start.", at)
        before = service.completed
        if before is None or not failed.configuration.rolls_back:
            return
        standing = [one for one in service.deployments if one.configuration == before]
        if standing:
            # its tasks are still there
            service.deployments.remove(standing[0])
            service.deployments.insert(0, standing[0])
            standing[0].rollout, standing[0].updated_at = Rollout.IN_PROGRESS, at
            service.failures, service.start_at = 0, 0.0
        else:
            self._deploy(service, before)
        service.primary.rollout_reason = wording.CIRCUIT_BROKEN
        service.say(f"rolling back to deployment {service.primary.id}.", at)

    def _note_kept(self, service: Service, kept: int) -> None:
        is_deploying = any(task.deployment is not service.primary for task in service.live())
        service.is_blocked = bool(kept) and is_deploying
        if kept:
            text = wording.BLOCKED if service.is_blocked else wording.kept(kept)
            service.say(text, self._now())

    def _fault(self, service: Service) -> StartFault | None:
        faults = self._state.faults
        return faults.get(service.name, faults.get(None))

    def _service_of(self, task: Task) -> Service:
        return next(service for service, found in self.tasks() if found is task)
