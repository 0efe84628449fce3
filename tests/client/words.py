"""Every public option that takes a word of a list: how to give it, and what it is taken for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from remotejob import (
    AsyncRunningJob,
    Credentials,
    InvalidInput,
    LetterKind,
    OnError,
    Order,
    Priority,
    Process,
    RemoteJob,
    Repeat,
    Retry,
    RunningJob,
    State,
    Submission,
    TakenJob,
    Urgency,
)
from remotejob.client.hooks import Event, Hooks
from remotejob.domain.job_log import LOG_LEVELS
from remotejob.domain.retry import Backoff
from remotejob.jobs.content.download_path import IfExists
from remotejob.jobs.messaging.letters import addresses
from remotejob.names import LOG_LEVELS as LOGGER_LEVELS
from remotejob.ports import Address, Area, Installation
from remotejob.settings import (
    Architecture,
    NetworkSettings,
    QueueSettings,
    Route,
    Stage,
    Subnets,
    SystemSettings,
)
from remotejob.tasks import Registry
from remotejob.testing import Moment, Service, Simulation, memory_installation, run_task
from remotejob.testing.interception import intercepted
from remotejob.testing.system_faults import SystemFaults
from remotejob.worker.lifecycle.supervisor import Supervisor, SupervisorOptions
from remotejob.worker.options import WorkerOptions
from remotejob.worker.worker import Worker


class Requests:
    """The requests that a system made, by name."""

    def __init__(self) -> None:
        self.made: list[str] = []

    def request(self, name: str, arguments: tuple[object, ...], function: Callable[[], Any]) -> Any:
        address = arguments[0] if arguments else None
        self.made.append(f"{name} {address.channel}" if isinstance(address, Address) else name)
        return function()


class Scene:
    """A system in memory, of which a job has completed, one waits, and one is taken."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.requests = Requests()
        self.installation: Installation = intercepted(memory_installation(), self.requests)
        self.remote = RemoteJob(self.installation)
        self.queue = self.remote.queue()

    def completed(self) -> Any:
        worker = Simulation(installation=self.installation)

        @worker.tasks.task("work")
        def work(job: RunningJob) -> None:
            job.output("cat.png", b"image")

        job = self.queue.submit("work", body=b"photo")
        worker.step()
        return job.refresh()

    def taken(self) -> TakenJob:
        self.queue.submit("work")
        (taken,) = self.queue.get_work()
        return taken

    def quiet(self, call: Callable[[], Any]) -> Any:
        """Make the call that is to be looked at; what came before is not counted."""
        self.requests.made.clear()
        return call()


Use = Callable[[Scene, Any], Any]


@dataclass(frozen=True, kw_only=True)
class Words:
    """One option."""

    use: Use
    """Gives a value to the option, and returns what it was understood as."""
    means: dict[str, Any]
    """By word: what it is understood as."""
    takes_none: bool = False
    takes_numbers: bool = False
    any_case: bool = False


def members(kind: Iterable[Any]) -> dict[str, Any]:
    return {str(member): member for member in kind}


PRIORITIES: Final = {one.name.lower(): int(one) for one in Priority}
STATES: Final = {
    str(state): [state] if state in (State.COMPLETED, State.RUNNING) else [] for state in State
}


def _priority(use: Use) -> Words:
    return Words(use=use, means=PRIORITIES, takes_numbers=True, any_case=True)


def _logged(scene: Scene, job: Any, taken: TakenJob, value: Any) -> Any:
    def log() -> None:
        said = job.log("half", level=value)
        if asyncio.iscoroutine(said):
            asyncio.run(said)

    scene.quiet(log)
    taken.done()
    return next(iter(scene.remote.job(taken.id).logs())).level


def _listed(scene: Scene, jobs: Callable[[Any], Iterable[Any]], value: Any) -> list[State]:
    scene.completed()
    scene.taken()
    return [job.state for job in scene.quiet(lambda: list(jobs(value)))]


def _children(scene: Scene, value: Any) -> list[State]:
    batch = scene.queue.map("work", [1, 2])
    _, completed = scene.queue.get_work(max_jobs=2)
    completed.done()
    return [job.state for job in scene.quiet(lambda: list(batch.children(value)))]


def _hook(scene: Scene, value: Any) -> Any:
    hooks = Hooks()
    scene.quiet(lambda: hooks.on(value, print))
    return hooks.registered()[0][0]


def _unhooked(scene: Scene, value: Any) -> Any:
    hooks = Hooks()
    for event in Event:
        hooks.on(event, print)
    scene.quiet(lambda: hooks.off(value, print))
    (gone,) = set(Event) - {event for event, _ in hooks.registered()}
    return gone


def _letters(scene: Scene, name: str, value: Any) -> Any:
    call = getattr(scene.remote, name)
    scene.quiet(lambda: list(call(kind=value)))
    # there are no letters: the queues that were looked into tell the kinds apart
    looked = {one.partition(" ")[2] for one in scene.requests.made}
    channels = {
        kind: {str(address.channel) for address in addresses(scene.installation, kind=kind)}
        for kind in LetterKind
    }
    return next(kind for kind, its in channels.items() if its == looked - {""})


def _stored(scene: Scene, name: str, value: Any) -> Any:
    key = scene.queue.store({"body": b"in"})
    bucket = scene.installation.files
    bucket.put(Area.OUTPUT, key, b"out", content_type="text/plain")

    def call() -> Any:
        made = getattr(scene.queue, name)(value, key)
        if name == "retrieve":
            return made.open().read()
        if name == "download":
            with made:
                return made.read()
        return b"in" if _missing(scene, Area.INPUT, key) else b"out"

    return {b"in": Area.INPUT, b"out": Area.OUTPUT}[scene.quiet(call)]


def _missing(scene: Scene, area: Area, key: str) -> bool:
    try:
        scene.installation.files.describe(area, key)
    except FileNotFoundError:
        return True
    return False


def _downloaded(scene: Scene, file: Any, value: Any) -> Any:
    (scene.folder / "there.txt").write_bytes(b"mine")
    try:
        made = scene.quiet(lambda: file.download(scene.folder / "there.txt", if_exists=value))
    except InvalidInput as refusal:
        if str(refusal).startswith("if_exists="):
            raise
        return IfExists.REFUSE
    assert made.read_bytes() != b"mine"
    return IfExists.OVERWRITE


def _shut_down(scene: Scene, value: Any) -> Any:
    processor = scene.queue.process_jobs("work", lambda job: None)
    try:
        scene.requests.made.clear()
        processor.shutdown(value)
        return processor._urgency
    finally:
        processor.shutdown(Urgency.HARD)
        scene.requests.made.clear()


def _worker(scene: Scene, value: Any) -> Any:
    tasks = Registry()
    tasks.task("work")(lambda job: None)
    worker = Worker(scene.installation, tasks, WorkerOptions(queue="default", name="w"))
    scene.quiet(lambda: worker.stop(value))
    return worker._stop_requests.first()


def _supervisor(scene: Scene, value: Any) -> Any:
    supervisor = Supervisor(SupervisorOptions(command=("true",), processes=1))
    scene.quiet(lambda: supervisor.stop(value))
    return supervisor._events.get_nowait()


def _next(scene: Scene, value: Any) -> Any:
    for message in ("completed", "failed"):
        scene.completed() if message == "completed" else scene.taken().fail("no")
    scene.queue.submit("work")
    found = scene.quiet(lambda: scene.queue.next(value, wait=timedelta(0)))
    return "pending" if isinstance(found, TakenJob) else str(found.state)


def _on_error(call: Callable[[], Any]) -> Any:
    try:
        call()
    except ZeroDivisionError:
        return OnError.RAISE
    return OnError.KEEP


def _divides(job: RunningJob) -> float:
    return 1 / 0


def _replayed(scene: Scene, value: Any) -> Any:
    job = scene.queue.submit("work")
    scene.requests.made.clear()
    return _on_error(lambda: job.replay_here(_divides, on_error=value))


def _tested(scene: Scene, value: Any) -> Any:
    return _on_error(lambda: run_task(_divides, on_error=value))


def _fault(name: str) -> Use:
    def use(scene: Scene, value: Any) -> Any:
        faults = SystemFaults()
        getattr(faults, name)(at=value)
        (moment,) = [one for one in Moment if faults.due(one, task="work")]
        return moment

    return use


def _outage(scene: Scene, value: Any) -> Any:
    faults = SystemFaults()
    faults.outage(value)
    calls = {"files.open": Service.S3, "store.get": Service.DYNAMODB, "messages.send": Service.SQS}
    for name, service in calls.items():
        try:
            faults.request(name, (), lambda: None)
        except Exception:  # noqa: BLE001 (the outage)
            return service
    return None


QUEUE: Final[dict[str, Any]] = {"tasks": ("work",)}

OPTIONS: Final[dict[str, Words]] = {
    "Retry.backoff": Words(
        use=lambda scene, value: Retry(backoff=value).backoff, means=members(Backoff)
    ),
    "Repeat.on_failure": Words(
        use=lambda scene, value: Repeat(on_failure=value).on_failure,
        means=members(("continue", "stop")),
    ),
    "Process.credentials": Words(
        use=lambda scene, value: Process(credentials=value).credentials,
        means=members(Credentials),
    ),
    "Submission.priority": _priority(
        lambda scene, value: (
            scene.queue.submit_many([Submission("work", priority=value)])[0].priority
        )
    ),
    "Queue.submit.priority": _priority(
        lambda scene, value: scene.queue.submit("work", priority=value).priority
    ),
    "Queue.map.priority": _priority(
        lambda scene, value: (
            next(iter(scene.queue.map("work", [1], priority=value).children())).priority
        )
    ),
    "JobDraft.priority.priority": _priority(
        lambda scene, value: scene.queue.new_job("work").priority(value).save().priority
    ),
    "Route.priority": _priority(lambda scene, value: Route(task="work", priority=value).priority),
    "RunningJob.log.level": Words(
        use=lambda scene, value: _logged(
            scene, RunningJob((taken := scene.taken()).run), taken, value
        ),
        means=members(LOG_LEVELS),
    ),
    "TakenJob.log.level": Words(
        use=lambda scene, value: _logged(scene, taken := scene.taken(), taken, value),
        means=members(LOG_LEVELS),
    ),
    "AsyncRunningJob.log.level": Words(
        use=lambda scene, value: _logged(
            scene, AsyncRunningJob(RunningJob((taken := scene.taken()).run)), taken, value
        ),
        means=members(LOG_LEVELS),
    ),
    "Hooks.on.event": Words(use=_hook, means=members(Event)),
    "Hooks.off.event": Words(use=_unhooked, means=members(Event)),
    "Queue.jobs.state": Words(
        use=lambda scene, value: _listed(scene, lambda state: scene.queue.jobs(state=state), value),
        means=STATES,
        takes_none=True,
    ),
    "RemoteJob.jobs.state": Words(
        use=lambda scene, value: _listed(
            scene, lambda state: scene.remote.jobs(state=state), value
        ),
        means=STATES,
        takes_none=True,
    ),
    "Batch.children.state": Words(use=_children, means=STATES, takes_none=True),
    **{
        f"RemoteJob.{name}.kind": Words(
            use=lambda scene, value, name=name: _letters(scene, name, value),  # type: ignore[misc]
            means={str(kind): kind for kind in LetterKind},
            takes_none=True,
        )
        for name in ("dead_letters", "redrive", "discard_dead_letters")
    },
    **{
        f"Queue.{name}.direction": Words(
            use=lambda scene, value, name=name: _stored(scene, name, value),  # type: ignore[misc]
            means=members(Area),
        )
        for name in ("retrieve", "download", "remove")
    },
    "Output.download.if_exists": Words(
        use=lambda scene, value: _downloaded(scene, scene.completed().outputs["cat.png"], value),
        means=members(IfExists),
    ),
    "StoredFile.download.if_exists": Words(
        use=lambda scene, value: _downloaded(
            scene, scene.queue.retrieve("input", scene.queue.store({"body": b"in"})), value
        ),
        means=members(IfExists),
    ),
    "Processor.shutdown.urgency": Words(use=_shut_down, means=members(Urgency)),
    "Worker.stop.urgency": Words(use=_worker, means=members(Urgency)),
    "Supervisor.stop.urgency": Words(use=_supervisor, means=members(Urgency)),
    "Queue.next.status": Words(use=_next, means=members(("pending", "completed", "failed"))),
    "Job.replay_here.on_error": Words(use=_replayed, means=members(OnError)),
    "run_task.on_error": Words(use=_tested, means=members(OnError)),
    **{
        f"SystemFaults.{name}.at": Words(use=_fault(name), means=members(Moment))
        for name in ("kill_worker", "reclaim_worker", "lose_lease", "cancel_job")
    },
    "SystemFaults.outage.service": Words(use=_outage, means=members(Service)),
    "QueueSettings.order": Words(
        use=lambda scene, value: QueueSettings(**QUEUE, order=value).order, means=members(Order)
    ),
    "QueueSettings.architecture": Words(
        use=lambda scene, value: QueueSettings(**QUEUE, architecture=value).architecture,
        means=members(Architecture),
    ),
    "QueueSettings.log_level": Words(
        use=lambda scene, value: QueueSettings(**QUEUE, log_level=value).log_level,
        means=members(LOGGER_LEVELS),
    ),
    "SystemSettings.stage": Words(
        use=lambda scene, value: SystemSettings(stage=value).stage, means=members(Stage)
    ),
    "NetworkSettings.subnets": Words(
        use=lambda scene, value: NetworkSettings(subnets=value).subnets,
        means=members(Subnets),
        takes_none=True,
    ),
}
"""By owner, method and parameter."""
