"""The causes of a job that does not run, each injected into a system: `CAUSES` lists them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from typing import Any, Final

from remotejob import Job, RemoteJob, SettingsError
from remotejob.backends.memory import MemoryFleet
from remotejob.domain.budgets import DailyBudget
from remotejob.domain.errors import AccessProblem
from remotejob.domain.fleet import (
    FleetStatus,
    Rollout,
    ServiceEvent,
    StoppedTask,
    WorkersDescription,
)
from remotejob.domain.given_up import sent_again
from remotejob.domain.scaling import ScalingState
from remotejob.jobs.coordination.scaling_state import ScalingNote, save_scaling
from remotejob.jobs.queries.why import Why
from remotejob.jobs.queries.workers import DISK
from remotejob.ports import Address, Channel, Installation
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.lifecycle.presence import Presence, report_failed_start

SECOND: Final = timedelta(seconds=1)
MINUTE: Final = timedelta(minutes=1)

DESCRIBED: Final = WorkersDescription(
    cluster="cluster",
    service="service",
    min_workers=0,
    max_workers=4,
    jobs_at_a_time=4,
    idle=timedelta(minutes=10),
    capacity=(),
)
TASK: Final = "cd189a933e5849daa93386466019ab50"


@dataclass(frozen=True, kw_only=True)
class Scene:
    """A system with nothing in it, in which a cause is made."""

    installation: Installation
    clock: FakeClock
    worker: Simulation
    fleet: MemoryFleet = field(default_factory=lambda: MemoryFleet({"default": DESCRIBED}))

    def submit(self, **options: Any) -> Job:
        remote = RemoteJob(replace(self.installation, fleet=self.fleet))
        return remote.queue().submit("work", **options)

    def elsewhere(self, job: Job, **changed: Any) -> Job:
        """The same job, as a program sees it whose system differs in something."""
        installation = replace(self.installation, **{"fleet": self.fleet, **changed})
        return Job(job.refresh().record, installation)

    def live(self, *abilities: str, name: str = "w1", ecs_task: str | None = None) -> Presence:
        """Has a worker give a sign of life."""
        presence = Presence(
            self.installation,
            worker=name,
            queue="default",
            abilities=abilities or ("work",),
            concurrency=4,
            running=self.worker.runs.running,
            ecs_task=ecs_task,
        )
        presence.give_if_due(lambda sign: sign())
        return presence

    def again(self, presence: Presence) -> None:
        """Has it give the next one."""
        self.clock.advance(5 * MINUTE)
        presence.give_if_due(lambda sign: sign())

    def begin(self) -> None:
        """Claim what is visible, and leave the runs running."""
        for message in self.worker.receive():
            self.worker.handler.begin(message)

    def ecs(
        self,
        *events: str,
        stopped: StoppedTask | None = None,
        age: timedelta = MINUTE,
        **status: Any,
    ) -> None:
        """Has ECS want a worker and tell of this, a minute ago."""
        at_ms = self.clock.now_ms() - age // timedelta(milliseconds=1)
        counts = {"desired": 1, "running": 0, "pending": 0, **status}
        told = tuple(ServiceEvent(at_ms=at_ms, text=text) for text in events)
        self.fleet.put(
            "default",
            FleetStatus(events=told, **counts),
            stopped=() if stopped is None else (replace(stopped, at_ms=at_ms),),
        )

    def scheduler_noted(self, last_failure: str) -> None:
        """Has the scheduler start no more workers."""
        state = ScalingState(failing_since_ms=self.clock.now_ms())
        note = ScalingNote(state=state, failed_starts=4, last_failure=last_failure)
        save_scaling("default", note, self.installation)

    def could_not_start(self, problem: BaseException | None = None) -> None:
        problem = problem or SettingsError(
            "REMOTEJOB_TASKS='x' cannot be imported; name the module"
        )
        report_failed_start(self.installation, worker="host", queue="default", problem=problem)


@dataclass(frozen=True, kw_only=True)
class Cause:
    """One cause, how it is made, and what `why` says."""

    name: str
    code: Why
    make: Callable[[Scene], Job]
    words: tuple[str, ...]
    """In the sentence."""
    remedy: str
    """In the remedy."""


CAUSES: list[Cause] = []


def cause(
    code: Why, *words: str, remedy: str
) -> Callable[[Callable[[Scene], Job]], Callable[[Scene], Job]]:
    def add(make: Callable[[Scene], Job]) -> Callable[[Scene], Job]:
        name = make.__name__
        CAUSES.append(Cause(name=name, code=code, make=make, words=words, remedy=remedy))
        return make

    return add


# --- the job's own state


@cause(Why.PAUSED, "it is paused", remedy="remotejob resume")
def paused(scene: Scene) -> Job:
    return scene.submit().pause()


@cause(Why.DUE, "it is due at", remedy="remotejob ready")
def not_due(scene: Scene) -> Job:
    return scene.submit(delay=MINUTE)


@cause(Why.TOO_LATE, "no run may begin any more: its `expires` was", remedy="remotejob restart")
def too_late(scene: Scene) -> Job:
    job = scene.submit(expires=MINUTE)
    scene.clock.advance(2 * MINUTE)
    return job


@cause(Why.RETRY, "its run failed (ValueError: no)", remedy="remotejob ready")
def retry(scene: Scene) -> Job:
    job = scene.submit(data="fail")
    scene.worker.step()
    return job


@cause(Why.DEPENDS, "it waits for 1 other job", "(ready)", remedy="--independent")
def depends(scene: Scene) -> Job:
    return scene.submit(depends=[scene.submit()])


@cause(Why.BATCH, "it runs once batch", remedy="remotejob batch")
def follows_a_batch(scene: Scene) -> Job:
    batch = RemoteJob(scene.installation).queue().map("work", [1, 2], on_complete="work")
    job = batch.refresh().on_complete
    assert job is not None
    return job


@cause(Why.RESOURCE, "the resource 'scanner'", remedy="cancel the job that holds it")
def resource_held(scene: Scene) -> Job:
    scene.submit(resource="scanner")
    scene.begin()
    return scene.submit(resource="scanner")


@cause(Why.TENANT, "2 places of tenant 'acme'", remedy="tenant_limit")
def tenant_cap(scene: Scene) -> Job:
    for _ in range(2):
        scene.submit(tenant="acme")
        scene.begin()
    return scene.submit(tenant="acme")


@cause(Why.WORKER_SILENT, "worker w1 fell silent", remedy="wait")
def worker_died_at_it(scene: Scene) -> Job:
    job = scene.submit()
    scene.begin()
    scene.clock.advance(63 * SECOND)
    return job


@cause(Why.WINDING_DOWN, "it was cancelled while it ran", remedy="job.check")
def cancelled_run(scene: Scene) -> Job:
    job = scene.submit()
    scene.begin()
    return job.cancel()


@cause(Why.ENDED, "Fatal: never", remedy="restart it")
def ended(scene: Scene) -> Job:
    job = scene.submit(data="fatal")
    scene.worker.step()
    return job


@cause(Why.OWED, "still being carried out", remedy="wait")
def owed(scene: Scene) -> Job:
    job = scene.submit(data="fatal")
    for message in scene.worker.receive():
        scene.worker.handler.attend(message)
    return job


# --- its queue


@cause(Why.NO_QUEUE, "'default' is not deployed", remedy="deploy it")
def queue_not_deployed(scene: Scene) -> Job:
    return scene.elsewhere(scene.submit(), queues={})


@cause(Why.BUDGET, "its daily budget of 0 runs is spent", remedy="raise the daily budget")
def budget_spent(scene: Scene) -> Job:
    queue = scene.installation.queues["default"]
    limited = {"default": replace(queue, budget=DailyBudget(runs=0))}
    return scene.elsewhere(scene.submit(), queues=limited)


@cause(Why.STOPPED, "queue 'default' is stopped since", remedy="remotejob start default")
def queue_stopped(scene: Scene) -> Job:
    job = scene.submit()
    RemoteJob(scene.installation).queue().stop()
    return job


@cause(Why.SCHEDULER_SILENT, "the scheduler has not looked at it", remedy="rule is enabled")
def scheduler_silent(scene: Scene) -> Job:
    job = scene.submit(delay=timedelta(hours=1))
    scene.clock.advance(timedelta(hours=1, minutes=5))
    scene.live()
    return job


@cause(Why.QUEUED, "it waits for its turn: about 1 message", remedy="max_workers")
def queued(scene: Scene) -> Job:
    scene.live()
    return scene.submit()


@cause(Why.GIVEN_UP, "its message was given up (1 of 5", remedy="remotejob deadletters")
def message_given_up(scene: Scene) -> Job:
    job = scene.submit()
    note = sent_again(job.record, why="received 1,000 times", now_ms=scene.clock.now_ms())
    scene.installation.store.update(note)
    scene.live()
    return job


@cause(Why.NO_MESSAGE, "its message is not in lane normal", remedy="pause and resume")
def message_lost(scene: Scene) -> Job:
    job = scene.submit()
    lane = Address("default", Channel.NORMAL)
    received = scene.installation.messages.receive(lane, limit=10, wait=timedelta(0), hidden=MINUTE)
    scene.installation.messages.delete(lane, [one.receipt for one in received])
    scene.clock.advance(6 * MINUTE)
    scene.live()
    return job


@cause(Why.VERSION, "they have version 0.0.1 of", remedy="with this program's version")
def version_differs(scene: Scene) -> Job:
    job = scene.submit()
    scene.installation.messages.receive(
        Address("default", Channel.NORMAL),
        limit=10,
        wait=timedelta(0),
        hidden=timedelta(minutes=15),
    )
    scene.clock.advance(6 * MINUTE)
    presence = scene.live()
    presence._fixed["version"] = "0.0.1"
    scene.again(presence)
    return job


@cause(Why.CLOCK_SKEW, "the clock of this machine is 400 s ahead", remedy="NTP")
def own_clock_wrong(scene: Scene) -> Job:
    return scene.elsewhere(scene.submit(), clock_ahead=timedelta(seconds=400))


@cause(Why.CLOCK_SKEW, "worker w1", "300 s ahead", remedy="on the worker's machine")
def workers_clock_ahead(scene: Scene) -> Job:
    scene.clock.advance(5 * MINUTE)
    scene.live()
    scene.clock.advance(-5 * MINUTE)
    return scene.submit()


@cause(Why.CLOCK_SKEW, "worker w1", "90 s behind", remedy="on the worker's machine")
def workers_clock_behind(scene: Scene) -> Job:
    presence = scene.live()
    presence.note_sent(scene.clock.now_ms() + 90_000)
    scene.again(presence)
    return scene.submit()


@cause(Why.THROTTLED, "worker w1 cannot handle a message", "Throughput", remedy="warm throughput")
def table_throttled(scene: Scene) -> Job:
    presence = scene.live()
    said = "(ProvisionedThroughputExceededException) when calling the UpdateItem operation"
    presence.say_trouble("handle a message", RuntimeError(said))
    scene.again(presence)
    return scene.submit()


@cause(Why.THROTTLED, "this program was answered", remedy="warm throughput")
def own_reads_throttled(scene: Scene) -> Job:
    class Throttled:
        def get(self, job_id: str) -> None:
            raise RuntimeError("An error occurred (ThrottlingException) when calling GetItem")

    return scene.elsewhere(scene.submit(), store=Throttled())


@cause(Why.WORKER_TROUBLE, "cannot handle a message: no route to host", remedy="worker's log")
def worker_cannot_reach_aws(scene: Scene) -> Job:
    presence = scene.live()
    presence.say_trouble("handle a message", OSError("no route to host"))
    scene.again(presence)
    return scene.submit()


# --- its workers


@cause(Why.NO_WORKER, "no worker takes jobs of task 'work'", remedy="start a worker")
def no_worker(scene: Scene) -> Job:
    return scene.elsewhere(scene.submit(), fleet=MemoryFleet({}))


@cause(Why.NO_TASK, "1 other live worker", remedy="name 'work' in the tasks")
def task_missing(scene: Scene) -> Job:
    scene.live("draw")
    return scene.submit()


@cause(Why.DRAINING, "about to stop", remedy="starts another one")
def draining(scene: Scene) -> Job:
    presence = scene.live()
    presence.drain()
    scene.again(presence)
    return scene.submit()


@cause(Why.DISK_FULL, "the disk of /tmp is full", remedy="ephemeral_storage_gib")
def disk_full(scene: Scene) -> Job:
    presence = scene.live()
    presence.say_short(DISK, "the disk of /tmp is full")
    scene.again(presence)
    return scene.submit()


@cause(Why.DENIED, "AWS does not allow", "sqs:ReceiveMessage", remedy="its role's policy")
def task_role_denied(scene: Scene) -> Job:
    presence = scene.live()
    problem = AccessProblem("AWS does not allow these credentials sqs:ReceiveMessage")
    presence.say_short("receive from lane high", str(problem))
    scene.again(presence)
    return scene.submit()


@cause(Why.CANNOT_START, "worker host could not start", "cannot be imported", remedy="mend")
def tasks_not_importable(scene: Scene) -> Job:
    scene.could_not_start()
    return scene.submit()


@cause(Why.CANNOT_START, "worker host could not start 30 s ago", remedy="mend")
def tasks_not_importable_after_a_good_worker(scene: Scene) -> Job:
    """The signs of the good worker's last two minutes do not count."""
    scene.live()
    scene.clock.advance(10 * SECOND)
    scene.could_not_start()
    scene.clock.advance(30 * SECOND)
    return scene.submit()


@cause(Why.IMAGE_PULL, "cannot pull the workers' image", remedy="deploy again")
def something_else_after_a_failed_start(scene: Scene) -> Job:
    scene.could_not_start()
    scene.clock.advance(5 * MINUTE)
    scene.ecs(stopped=not_started("CannotPullContainerError: failed to resolve ref x: not found"))
    return scene.submit()


@cause(Why.CANNOT_START, "ended with code 2", remedy="worker's log")
def program_exits_at_start(scene: Scene) -> Job:
    scene.ecs(stopped=exited(2))
    return scene.submit()


@cause(Why.CRASHED, "workers end by themselves, with code 139", remedy="worker's log")
def crash_loop(scene: Scene) -> Job:
    """A sign of half a minute ago is of a worker that ECS knows to have ended since."""
    scene.live(ecs_task=TASK)
    scene.clock.advance(30 * SECOND)
    scene.ecs(stopped=exited(139), age=10 * SECOND, running=1)
    return scene.submit()


@cause(Why.OUT_OF_MEMORY, "more memory than they have", remedy="memory_mib")
def out_of_memory(scene: Scene) -> Job:
    scene.live()
    scene.clock.advance(30 * SECOND)
    scene.ecs(stopped=exited(137), age=10 * SECOND)
    return scene.submit()


@cause(Why.UNHEALTHY, "failed their health check", remedy="its process hangs")
def unhealthy(scene: Scene) -> Job:
    scene.ecs(stopped=stopped("Task failed container health checks", "ServiceSchedulerInitiated"))
    return scene.submit()


# --- ECS


@cause(Why.WAKING, "scaled to none", remedy="within a minute")
def scaled_to_zero(scene: Scene) -> Job:
    scene.ecs(desired=0)
    return scene.submit()


@cause(Why.STARTING, "a worker is starting: ECS wants 1, and 0 run", remedy="wait a minute")
def starting(scene: Scene) -> Job:
    scene.ecs(pending=1)
    return scene.submit()


@cause(Why.NO_SIGN, "none has written a sign of life", remedy="may not allow the table")
def no_sign(scene: Scene) -> Job:
    scene.ecs("(service s) has started 1 tasks: (task t).", age=5 * MINUTE, running=1)
    return scene.submit()


@cause(Why.GAVE_UP, "no more than one at a time", "exit code 9", remedy="goes on once")
def scaling_gave_up(scene: Scene) -> Job:
    """ECS remembers stopped tasks for an hour alone, and not everybody may ask it."""
    scene.scheduler_noted("Essential container in task exited; exit code 9")
    return scene.elsewhere(scene.submit(), fleet=MemoryFleet({}))


@cause(Why.QUOTA, "no more than one at a time", remedy="Service Quotas")
def scaling_gave_up_for_a_known_reason(scene: Scene) -> Job:
    scene.scheduler_noted("You've reached the limit on the number of vCPUs you can run")
    return scene.submit()


@cause(Why.DEPLOYMENT_BLOCKED, "workers that are protected", remedy="three hours")
def deployment_blocked(scene: Scene) -> Job:
    scene.ecs(running=1, blocked=True, rollout=Rollout.IN_PROGRESS)
    return scene.submit()


@cause(Why.DEPLOYMENT_FAILED, "the last deployment of the workers failed", remedy="deploy again")
def deployment_failed(scene: Scene) -> Job:
    scene.ecs(rollout=Rollout.FAILED)
    return scene.submit()


@cause(Why.NO_SERVICE, "does not exist any more", remedy="deploy the workers stack")
def service_gone(scene: Scene) -> Job:
    job = scene.submit()
    fleet = MemoryFleet({"default": DESCRIBED})
    fleet._status.clear()
    return scene.elsewhere(job, fleet=fleet)


@cause(Why.IMAGE_PULL, "cannot pull the workers' image", remedy="deploy again")
def image_not_pulled(scene: Scene) -> Job:
    scene.ecs(
        stopped=not_started(
            "CannotPullContainerError: pull image manifest has been retried 5 time(s): failed to "
            "resolve ref 111122223333.dkr.ecr.eu-central-1.amazonaws.com/x:abc: not found"
        )
    )
    return scene.submit()


@cause(Why.ARCHITECTURE, "another kind of CPU", remedy="linux/arm64")
def wrong_architecture(scene: Scene) -> Job:
    scene.ecs(
        stopped=not_started(
            "CannotPullContainerError: image Manifest does not contain descriptor matching "
            "platform 'linux/arm64'"
        )
    )
    return scene.submit()


@cause(Why.SECRET, "a secret of the workers cannot be read", remedy="`secrets`")
def secret_not_readable(scene: Scene) -> Job:
    scene.ecs(
        stopped=not_started(
            "ResourceInitializationError: unable to pull secrets or registry auth: execution "
            "resource retrieval failed: unable to retrieve secret from asm: service call has been "
            "retried 1 time(s): failed to fetch secret arn:aws:secretsmanager:x from secrets "
            "manager: AccessDeniedException: not authorized to perform GetSecretValue"
        )
    )
    return scene.submit()


@cause(Why.ROLE, "may not use a role", remedy="trust policy")
def execution_role_denied(scene: Scene) -> Job:
    scene.ecs(
        "(service s) failed to launch a task with (error ECS was unable to assume the role "
        "'arn:aws:iam::111122223333:role/x' that was provided for this task. Please verify that "
        "the role being passed has the proper trust relationship and permissions.)."
    )
    return scene.submit()


@cause(Why.LOGS, "log group cannot be written to", remedy="makes the log group")
def log_group_missing(scene: Scene) -> Job:
    scene.ecs(
        stopped=not_started(
            "ResourceInitializationError: failed to validate logger args: create stream has been "
            "retried 1 times: failed to create Cloudwatch log stream: ResourceNotFoundException: "
            "The specified log group does not exist."
        )
    )
    return scene.submit()


@cause(Why.NETWORK, "network does not reach AWS", remedy="NAT gateway")
def no_route_to_the_registry(scene: Scene) -> Job:
    scene.ecs(
        stopped=not_started(
            "ResourceInitializationError: unable to pull secrets or registry auth: execution "
            "resource retrieval failed: unable to retrieve ecr registry auth: service call has "
            "been retried 3 time(s): RequestError: send request failed: dial tcp: i/o timeout"
        )
    )
    return scene.submit()


@cause(Why.NO_CAPACITY, "AWS has no free machine", remedy="Spot share")
def no_spot_capacity(scene: Scene) -> Job:
    scene.ecs(
        "(service s) was unable to place a task. Reason: Capacity is unavailable at this time. "
        "Please try again later or in a different availability zone."
    )
    return scene.submit()


@cause(Why.QUOTA, "quota of Fargate vCPUs is used up", remedy="Service Quotas")
def quota_used_up(scene: Scene) -> Job:
    scene.ecs(
        "(service s) was unable to place a task. Reason: You've reached the limit on the number "
        "of vCPUs you can run concurrently."
    )
    return scene.submit()


@cause(Why.NO_ADDRESSES, "no free IP address", remedy="larger or more subnets")
def no_free_addresses(scene: Scene) -> Job:
    scene.ecs(
        stopped=not_started(
            "Unexpected EC2 error while attempting to Create Network Interface with public IP "
            "assignment disabled in subnet 'subnet-1': InsufficientFreeAddressesInSubnet"
        )
    )
    return scene.submit()


def stopped(reason: str, code: str, exit_code: int | None = None) -> StoppedTask:
    return StoppedTask(id=TASK, at_ms=0, reason=reason, code=code, exit_code=exit_code)


def exited(exit_code: int) -> StoppedTask:
    return stopped("Essential container in task exited", "EssentialContainerExited", exit_code)


def not_started(reason: str) -> StoppedTask:
    return stopped(reason, "TaskFailedToStart")
