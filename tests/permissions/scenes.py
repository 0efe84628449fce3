"""Every command of the library, with what must be there before it is given.

A scene prepares, as somebody who may do everything, and returns the command, to be given by
somebody else.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from uuid import uuid4

from remotejob import (
    Commanded,
    Job,
    LetterKind,
    Output,
    Redriven,
    RemoteJob,
    Repeat,
    Retry,
    State,
    Submission,
)
from remotejob.backends.clock import SystemClock
from remotejob.client.batch import Batch
from remotejob.domain.dependencies import EDGES_WITH_RECORD
from remotejob.domain.ids import is_job_id
from remotejob.jobs.messaging.messages import Pending
from remotejob.jobs.submission.stored_files import StoredFile
from remotejob.manual.holder import JobHolder
from remotejob.manual.options import Taking
from remotejob.manual.taken_job import TakenJob
from remotejob.ports import Address, Channel, Outgoing
from tests.permissions.conftest import SYSTEM, Person

Act = Callable[[Person], object]
Scene = Callable[[Person], Act]

LATER = timedelta(hours=1)
WAIT = timedelta(seconds=20)
LONG = "x" * 20_000
LARGE = b"x" * (17 * 1024 * 1024)
"""Goes up in parts."""

TASKS = frozenset({"work"})


class AWhileAgo(SystemClock):
    """The time ten minutes ago: what is leased by it has lapsed."""

    def now_ms(self) -> int:
        return super().now_ms() - 600_000


def key() -> str:
    return f"files/{uuid4()}"


# --- what there is before ------------------------------------------------------------------------


def waiting(by: Person, **options: object) -> Job:
    return by.queue.submit("work", delay=LATER, **options)  # type: ignore[arg-type]


def ready(by: Person, **options: object) -> Job:
    return by.queue.submit("work", **options)  # type: ignore[arg-type]


def paused(by: Person) -> Job:
    return waiting(by).pause()


def take(by: Person, job: Job) -> TakenJob:
    """Take that job; whatever else lies in the queue is done with."""
    for _ in range(10):
        found = {taken.id: taken for taken in by.queue.get_work(max_jobs=10, wait=WAIT)}
        ours = found.pop(job.id, None)
        for other in found.values():
            other.done()
        if ours is not None:
            return ours
    raise AssertionError(f"{job.id} cannot be taken")


def completed(by: Person, *, output: bytes = b"", result: object = None, **options: object) -> Job:
    job = ready(by, **options)
    taken = take(by, job)
    if output:
        taken.output("out.txt", output)
    taken.done(result)
    return job.refresh()


def begun(by: Person) -> Job:
    """A job that a run has left half done."""
    job = ready(by)
    taken = take(by, job)
    taken.checkpoint(LONG)
    taken.release()
    return job.refresh()


def failed(by: Person, **options: object) -> Job:
    job = ready(by, **options)
    take(by, job).fail("no", fatal=True)
    return job.refresh()


def cancelled(by: Person) -> Job:
    return waiting(by).cancel()


def stale(by: Person) -> Job:
    """A running job whose worker died after its first heartbeat."""
    job = ready(by)
    then = replace(by.system._installation, clock=AWhileAgo())
    holder = JobHolder(then, start=lambda beats: None)
    for _ in range(20):
        for taken in holder.take("default", Taking(tasks=TASKS, all_tasks=True, wait=WAIT)):
            if taken.id == job.id:
                taken.acknowledge()
                return job.refresh()
            taken.done()
    raise AssertionError(f"{job.id} cannot be taken")


def batch(by: Person, *, ended: bool = False) -> Batch:
    made = by.queue.map("work", [{"n": 1}], on_complete="work")
    if ended:
        (child,) = made.children()
        take(by, child).fail("no", fatal=True)
        made.refresh()
    return made


def stored(by: Person, direction: str) -> str:
    if direction == "input":
        return by.queue.store_raw(key(), {}, b"content")
    return completed(by, output=b"content").outputs["out.txt"].key


# --- commands ------------------------------------------------------------------------------------


def on_job(make: Callable[[Person], Job], act: Callable[[Job], object]) -> Scene:
    """A command to a job, which is somebody's own view of it."""

    def prepare(by: Person) -> Act:
        job = make(by)
        return lambda who: act(_as_seen_by(who, job))

    return prepare


def _as_seen_by(who: Person, job: Job) -> Job:
    return Job(job.record, who.system._installation)


def on_jobs(
    make: Callable[[Person], Job], act: Callable[[RemoteJob, list[str]], Commanded]
) -> Scene:
    def prepare(by: Person) -> Act:
        ids = [make(by).id, make(by).id]

        def given(who: Person) -> None:
            commanded = act(who.system, ids)
            assert not commanded.refused
            assert len(commanded.done) == 2

        return given

    return prepare


def on_batch(make: Callable[[Person], Batch], act: Callable[[Batch], object]) -> Scene:
    def prepare(by: Person) -> Act:
        made = make(by)
        return lambda who: act(Batch(made._record, who.system._installation))

    return prepare


def on_system(act: Callable[[RemoteJob], object]) -> Scene:
    return lambda by: lambda who: act(who.system)


def stop_and_start(system: RemoteJob) -> None:
    """Both, because the other commands need a queue that is not stopped."""
    assert system.queue().stop().queue == "default"
    system.queue().start()
    assert system.queue().stopped() is None


def stop_and_start_all(system: RemoteJob) -> None:
    assert [stopped.queue for stopped in system.stop_all()] == ["default"]
    system.start_all()
    assert system.stopped() == []


def on_letters(act: Callable[[RemoteJob], list[Redriven]]) -> Scene:
    """A command to a letter in each dead-letter queue, and one of a job that has ended."""

    def prepare(by: Person) -> Act:
        messages = by.system._installation.messages
        jobs = [ready(by), completed(by)]
        bodies = [Pending.of(job.record).body() for job in jobs]
        address = Address(by.queue.name, Channel.DEAD_LETTER)
        messages.send(address, [Outgoing(body=body) for body in bodies])

        def given(who: Person) -> None:
            outcomes = act(who.system)
            assert all(one.done for one in outcomes)
            assert {one.letter.kind for one in outcomes} == set(LetterKind)

        return given

    return prepare


def on_file(direction: str, act: Callable[[Person, str, str], object]) -> Scene:
    def prepare(by: Person) -> Act:
        name = stored(by, direction)
        return lambda who: act(who, direction, name)

    return prepare


def download(file: Output | StoredFile) -> object:
    return file.download("/dev/null.d", if_exists="overwrite")


def on_output(act: Callable[[Job], object], **made: object) -> Scene:
    return on_job(lambda by: completed(by, **made), act)  # type: ignore[arg-type]


def on_taken(
    act: Callable[[TakenJob], object],
    make: Callable[[Person], Job] = ready,
    check: Callable[[Person], None] = lambda by: None,
) -> Scene:
    """A command to a job one has taken oneself."""

    def prepare(by: Person) -> Act:
        job = make(by)

        def taken_and_given(who: Person) -> None:
            taken = take(who, job)
            try:
                act(taken)
            finally:
                if not taken.ended:
                    taken.release()
            check(by)

        return taken_and_given

    return prepare


def submit(**options: object) -> Scene:
    return lambda by: lambda who: ready(who, **options)


def submit_dependent(by: Person) -> Act:
    other = waiting(by)
    return lambda who: who.queue.submit("work", depends=[other.id])


def submit_dependent_on_many(by: Person) -> Act:
    """On more than one transaction links."""
    others = by.queue.submit_many([Submission("work", delay=LATER)] * (EDGES_WITH_RECORD + 1))
    return lambda who: linked(who.queue.submit("work", depends=others))


def linked(job: Job) -> Job:
    assert job.refresh().record.linking is None
    return job


def submit_under_a_key(by: Person) -> Act:
    name = str(uuid4())

    def twice(who: Person) -> None:
        made = ready(who, idempotency_key=name, body=b"content")
        assert ready(who, idempotency_key=name, body=b"content").id == made.id

    return twice


def submit_in_place_of_others(by: Person) -> Act:
    every = Repeat(wait=LATER)
    ready(by, repeat=every, delay=LATER)
    return lambda who: who.queue.submit("work", repeat=every, delay=LATER, cancel_repeats=True)


def cancel_repeats(by: Person) -> Act:
    ready(by, repeat=Repeat(wait=LATER), delay=LATER)
    return lambda who: who.queue.cancel_repeats("work")


def submit_many(by: Person) -> Act:
    def act(who: Person) -> None:
        jobs = who.queue.submit_many(
            [Submission(task="work", data=n, delay=LATER) for n in range(30)]
        )
        assert len(jobs) == 30

    return act


def map_a_prefix(by: Person) -> Act:
    prefix = f"{key()}/"
    by.queue.store_raw(f"{prefix}a", {}, b"content")
    address = f"s3://{by.system.input_bucket}/{prefix}"
    return lambda who: who.queue.map("work", address, on_complete="work")


def map_nothing(by: Person) -> Act:
    def act(who: Person) -> None:
        after = who.queue.map("work", [], on_complete="work").on_complete
        assert after is not None
        assert not after.record.blocked

    return act


def trigger(by: Person) -> Act:
    name = by.queue.store({"filename": "a.txt", "body": b"content"})
    return lambda who: who.queue.trigger("pending", name)


def notice(status: str, act: Callable[[Person, str], object]) -> Scene:
    def prepare(by: Person) -> Act:
        completed(by, body=b"content", output=b"content")
        failed(by, body=b"content")
        return lambda who: act(who, status)

    return prepare


def hear(who: Person, status: str) -> None:
    heard = who.queue.next(status, wait=WAIT)  # type: ignore[call-overload]
    assert heard is not None


def hear_and_open(by: Person) -> Act:
    completed(by, body=b"content")
    heard = by.queue.next("completed", wait=WAIT)
    while heard is not None and heard.job.input is None:
        heard.acknowledge()
        heard = by.queue.next("completed", wait=WAIT)
    assert heard is not None
    return lambda who: replace(heard, installation=who.system._installation).open().read()


def hear_and_see(by: Person) -> Act:
    completed(by)
    heard = by.queue.next("completed", wait=WAIT)
    assert heard is not None
    return lambda who: replace(heard, installation=who.system._installation).job


def acknowledge(by: Person) -> Act:
    completed(by)
    heard = by.queue.next("completed", wait=WAIT)
    assert heard is not None
    return lambda who: replace(heard, installation=who.system._installation).acknowledge()


def stored_file(act: Callable[[StoredFile], object]) -> Scene:
    def prepare(by: Person) -> Act:
        file = by.queue.retrieve("input", stored(by, "input"))
        return lambda who: act(replace(file, installation=who.system._installation))

    return prepare


class _Complaint(logging.Handler):
    """Sets an event once something is logged."""

    def __init__(self, event: threading.Event) -> None:
        super().__init__(logging.ERROR)
        self._event = event

    def emit(self, record: logging.LogRecord) -> None:
        self._event.set()


def process(by: Person) -> Act:
    job = ready(by)
    log = logging.getLogger("remotejob.manual.processor")

    def act(who: Person) -> None:
        looked = threading.Event()
        complaint = _Complaint(looked)
        log.addHandler(complaint)

        def work(taken: TakenJob) -> None:
            if taken.id == job.id:
                looked.set()

        try:
            with who.queue.process_jobs("work", work):
                assert looked.wait(60)
        finally:
            log.removeHandler(complaint)
        if job.refresh().state is not State.COMPLETED:
            # a processor says in the log what it may not do, and looks again
            who.queue.get_work()

    return act


def flush(by: Person) -> Act:
    stale(by)

    def act(who: Person) -> None:
        assert who.system.flush_stale() > 0

    return act


def remove_with_files(by: Person) -> Act:
    job = completed(by, body=b"content", output=b"content", data=LONG)
    return lambda who: _as_seen_by(who, job).remove()


def restart_dependent(by: Person) -> Act:
    """With the job it depends on, and both are cancelled."""
    first = waiting(by)
    second = by.queue.submit("work", depends=[first])
    first.cancel()
    assert second.refresh().state is State.CANCELLED
    return lambda who: _as_seen_by(who, second).restart()


def restart_dependent_on_many(by: Person) -> Act:
    others = by.queue.submit_many([Submission("work", delay=LATER)] * (EDGES_WITH_RECORD + 1))
    job = by.queue.submit("work", depends=others).cancel()
    return lambda who: linked(_as_seen_by(who, job).restart())


def retry_a_batch_that_was_followed(by: Person) -> Act:
    made = batch(by, ended=True)
    follower = made.on_complete
    assert follower is not None
    take(by, follower).done()

    def act(who: Person) -> None:
        again = Batch(made._record, who.system._installation).retry()
        assert again.on_complete is not None
        assert again.on_complete.id != follower.id

    return act


def cancel_with_consequences(by: Person) -> Act:
    """A running job that holds a lock, with another that waits for it, and a dependent."""
    resource = str(uuid4())
    job = ready(by, resource=resource)
    dependent = by.queue.submit("work", depends=[job])
    taken = take(by, job)

    def act(who: Person) -> None:
        _as_seen_by(who, job).cancel()
        assert dependent.refresh().state is State.CANCELLED
        with suppress(Exception):
            taken.release()

    return act


# --- what a run leaves behind --------------------------------------------------------------------


def with_dependent(by: Person) -> Job:
    job = ready(by)
    by.queue.submit("work", depends=[job], data=job.id)
    return job


def dependents_are(state: State) -> Callable[[Person], None]:
    def check(by: Person) -> None:
        dependent = next(job for job in by.queue.jobs() if job.depends)
        assert dependent.state is state
        assert not dependent.record.blocked or state is State.CANCELLED

    return check


def with_another_of_its_resource(by: Person) -> Job:
    """One holds the resource, another waits for it."""
    resource = str(uuid4())
    return ready(by, resource=resource, tenant=str(uuid4()))


def of_a_batch(by: Person) -> Job:
    (child,) = batch(by).children()
    return child


def batch_is_counted(by: Person) -> None:
    child = next(job for job in by.queue.jobs() if job.record.batch)
    assert child.record.batch is not None
    made = by.system.batch(child.record.batch)
    assert made.ended
    assert made.on_complete is not None
    assert not made.on_complete.record.blocked


def repeated(by: Person) -> Job:
    return ready(by, repeat=Repeat(times=3, wait=LATER))


def has_a_successor(by: Person) -> None:
    newest = by.queue.jobs(limit=1)[0]
    assert newest.origin_id is not None
    assert is_job_id(newest.origin_id)


def done_with_all(taken: TakenJob) -> None:
    for number in range(200):
        taken.log(f"{number} {'x' * 200}")
    taken.output("a.txt", b"content")
    taken.output("large.bin", LARGE)
    taken.done({"long": LONG})


def chained(by: Person) -> Job:
    """After one whose data, result and output are files."""
    return ready(by, depends=[completed(by, data=LONG, result=LONG, output=b"content")])


def read_antecedents(taken: TakenJob) -> None:
    (found,) = taken.antecedents()
    assert (found.data, found.result) == (LONG, LONG)
    assert found.outputs["out.txt"].read_bytes() == b"content"


def show_progress(taken: TakenJob) -> None:
    taken.progress(1, 2)
    taken.acknowledge()


def show_log(taken: TakenJob) -> None:
    taken.log("so far")
    taken.acknowledge()


SCENES: dict[str, dict[str, Scene]] = {
    "RemoteJob.connect": {
        "": lambda by: lambda who: RemoteJob.connect(SYSTEM, session=who.session)
    },
    "RemoteJob.queue": {"": on_system(lambda system: system.queue())},
    "Queue.new_job": {"": on_system(lambda system: system.queue().new_job("work"))},
    "RemoteJob.job": {"": on_job(waiting, lambda job: RemoteJob(job._installation).job(job.id))},
    "RemoteJob.jobs": {"": on_system(lambda system: system.jobs(limit=3))},
    "RemoteJob.get_jobs": {
        "": on_job(waiting, lambda job: RemoteJob(job._installation).get_jobs([job.id]))
    },
    "RemoteJob.unable": {
        "": on_job(waiting, lambda job: RemoteJob(job._installation).unable([job]))
    },
    "RemoteJob.doctor": {"": on_system(lambda system: system.doctor())},
    "RemoteJob.dead_letters": {"": on_system(lambda system: system.dead_letters())},
    "RemoteJob.redrive": {"": on_letters(lambda system: system.redrive())},
    "RemoteJob.discard_dead_letters": {
        "": on_letters(lambda system: system.discard_dead_letters())
    },
    "RemoteJob.workers": {"": on_system(lambda system: system.workers())},
    "RemoteJob.stopped": {"": on_system(lambda system: system.stopped())},
    "Queue.stopped": {"": on_system(lambda system: system.queue().stopped())},
    "RemoteJob.batch": {
        "": on_batch(batch, lambda one: RemoteJob(one._installation).batch(one.id))
    },
    "Queue.jobs": {"": on_system(lambda system: system.queue().jobs(limit=3))},
    "Job.refresh": {"": on_job(waiting, Job.refresh)},
    "Job.wait": {"": on_job(cancelled, lambda job: job.wait(1))},
    "Job.next_job": {"": on_job(waiting, Job.next_job)},
    "Job.logs": {"": on_job(waiting, Job.logs)},
    "Job.tracebacks": {"": on_job(failed, Job.tracebacks)},
    "Job.receipt": {"": on_job(waiting, Job.receipt)},
    "Job.why": {
        "waits for its time": on_job(waiting, Job.why),
        "waits for its turn": on_job(ready, Job.why),
    },
    "Batch.refresh": {"": on_batch(batch, Batch.refresh)},
    "Batch.wait": {"": on_batch(lambda by: batch(by, ended=True), lambda one: one.wait(1))},
    "Batch.children": {"": on_batch(batch, lambda one: list(one.children()))},
    "Batch.on_complete": {"": on_batch(batch, lambda one: one.on_complete)},
    "Notice.job": {"": hear_and_see},
    "Job.data(long)": {"": on_job(lambda by: waiting(by, data=LONG), lambda job: job.data)},
    "Job.result(long)": {"": on_output(lambda job: job.result, result=LONG)},
    "Job.last_checkpoint(long)": {"": on_job(begun, lambda job: job.last_checkpoint)},
    "Output.open": {"": on_output(lambda job: job.outputs["out.txt"].open().read(), output=b"x")},
    "Output.read_bytes": {
        "": on_output(lambda job: job.outputs["out.txt"].read_bytes(), output=b"x")
    },
    "Output.read_text": {
        "": on_output(lambda job: job.outputs["out.txt"].read_text(), output=b"x")
    },
    "Output.download": {"": on_output(lambda job: download(job.outputs["out.txt"]), output=b"x")},
    "StoredFile.open": {"": stored_file(lambda file: file.open().read())},
    "StoredFile.download": {"": stored_file(download)},
    "Queue.retrieve": {
        one: on_file(one, lambda who, where, name: who.queue.retrieve(where, name))
        for one in ("input", "output")
    },
    "Queue.download": {
        one: on_file(one, lambda who, where, name: who.queue.download(where, name).read())
        for one in ("input", "output")
    },
    "Job.replay_here": {
        "": on_job(
            lambda by: completed(by, body=b"content"),
            lambda job: job.replay_here(lambda running: None),
        )
    },
    "RemoteJob.pause_jobs": {"": on_jobs(waiting, RemoteJob.pause_jobs)},
    "RemoteJob.resume_jobs": {"": on_jobs(paused, RemoteJob.resume_jobs)},
    "RemoteJob.make_jobs_ready": {"": on_jobs(waiting, RemoteJob.make_jobs_ready)},
    "RemoteJob.cancel_jobs": {"": on_jobs(waiting, RemoteJob.cancel_jobs)},
    "RemoteJob.restart_jobs": {"": on_jobs(cancelled, RemoteJob.restart_jobs)},
    "RemoteJob.remove_jobs": {"": on_jobs(cancelled, RemoteJob.remove_jobs)},
    "RemoteJob.flush_stale": {"": flush},
    "RemoteJob.stop_all": {"": on_system(stop_and_start_all)},
    "RemoteJob.start_all": {"": on_system(stop_and_start_all)},
    "Queue.stop": {"": on_system(stop_and_start)},
    "Queue.start": {"": on_system(stop_and_start)},
    "Job.pause": {"": on_job(waiting, Job.pause)},
    "Job.resume": {"": on_job(paused, Job.resume)},
    "Job.make_ready": {"": on_job(waiting, Job.make_ready)},
    "Job.cancel": {"": on_job(waiting, Job.cancel), "running": cancel_with_consequences},
    "Job.restart": {
        "failed": on_job(failed, lambda job: job.restart(retry=Retry(max_attempts=3))),
        "dependent": restart_dependent,
        "dependent on many": restart_dependent_on_many,
    },
    "Job.remove": {"cancelled": on_job(cancelled, Job.remove), "files": remove_with_files},
    "Queue.failed": {"": on_job(failed, lambda job: RemoteJob(job._installation).queue().failed())},
    "Queue.retry_failed": {
        "": on_job(failed, lambda job: RemoteJob(job._installation).queue().retry_failed())
    },
    "Queue.delete_failed": {
        "": on_job(failed, lambda job: RemoteJob(job._installation).queue().delete_failed())
    },
    "Queue.remove(output)": {
        "": on_file("output", lambda who, where, name: who.queue.remove(where, name))
    },
    "Batch.cancel": {"": on_batch(batch, Batch.cancel)},
    "Batch.retry": {
        "": on_batch(lambda by: batch(by, ended=True), Batch.retry),
        "followed": retry_a_batch_that_was_followed,
    },
    "Queue.submit": {
        "plain": submit(),
        "with all": submit(
            name="a job",
            body=b"content",
            retry=Retry(max_attempts=3),
            priority=-10,
            delay=LATER,
            resource="r",
            tenant="t",
            expires=LATER,
            crashes=0,
        ),
        "long data": submit(data=LONG),
        "large body": submit(body=LARGE),
        "repeating": submit(repeat=Repeat(wait=LATER)),
        "dependent": submit_dependent,
        "dependent on many": submit_dependent_on_many,
        "under a key": submit_under_a_key,
    },
    "Queue.submit(cancel_repeats)": {"": submit_in_place_of_others},
    "Queue.cancel_repeats": {
        "": lambda by: lambda who: who.queue.cancel_repeats("work"),
        "some": cancel_repeats,
    },
    "Queue.submit_many": {"": submit_many},
    "Queue.map": {
        "items": lambda by: batch,
        "prefix": map_a_prefix,
        "nothing": map_nothing,
    },
    "Job.rerun": {"": on_job(completed, lambda job: job.rerun(wait=LATER))},
    "Job.replay": {
        "": on_job(cancelled, Job.replay),
        "files": on_job(lambda by: completed(by, body=b"x", data=LONG), Job.replay),
    },
    "Queue.store": {"": lambda by: lambda who: who.queue.store({"body": b"content"})},
    "Queue.store_raw": {
        "small": lambda by: lambda who: who.queue.store_raw(key(), {}, b"content"),
        "large": lambda by: lambda who: who.queue.store_raw(key(), {}, LARGE),
    },
    "Queue.trigger": {"": trigger},
    "Queue.remove(input)": {
        "": on_file("input", lambda who, where, name: who.queue.remove(where, name))
    },
    "Queue.next(completed)": {"": notice("completed", hear)},
    "Queue.next(failed)": {"": notice("failed", hear)},
    "Notice.acknowledge": {"": acknowledge},
    "Notice.open": {"": hear_and_open},
    "Queue.get_work": {"": on_taken(lambda taken: None)},
    "Queue.process_jobs": {"": process},
    "Queue.next(pending)": {
        "": on_job(
            ready,
            lambda job: RemoteJob(job._installation).queue().next("pending").done(),
        )
    },
    "TakenJob.done": {
        "plain": on_taken(TakenJob.done),
        "with all": on_taken(done_with_all),
        "with dependents": on_taken(TakenJob.done, with_dependent, dependents_are(State.WAITING)),
        "of a batch": on_taken(TakenJob.done, of_a_batch, batch_is_counted),
        "repeated": on_taken(TakenJob.done, repeated, has_a_successor),
        "locked": on_taken(TakenJob.done, with_another_of_its_resource),
    },
    "TakenJob.complete": {
        "": on_taken(
            lambda taken: taken.complete(None, [{"filename": "a.txt", "body": b"content"}])
        )
    },
    "TakenJob.fail": {
        "fatal": on_taken(lambda taken: taken.fail("no", fatal=True)),
        "retried": on_taken(
            lambda taken: taken.fail("no"),
            lambda by: ready(by, retry=Retry(max_attempts=3, wait=LATER)),
        ),
        "with dependents": on_taken(
            lambda taken: taken.fail("no", fatal=True),
            with_dependent,
            dependents_are(State.CANCELLED),
        ),
    },
    "TakenJob.cancel": {"": on_taken(TakenJob.cancel)},
    "TakenJob.refresh": {"": on_taken(TakenJob.refresh)},
    "TakenJob.logs": {"": on_taken(TakenJob.logs)},
    "TakenJob.antecedents": {"": on_taken(read_antecedents, chained)},
    "TakenJob.release": {"": on_taken(TakenJob.release)},
    "TakenJob.acknowledge": {"": on_taken(TakenJob.acknowledge)},
    "TakenJob.progress": {"": on_taken(show_progress)},
    "TakenJob.log": {"": on_taken(show_log)},
    "TakenJob.checkpoint": {
        "small": on_taken(lambda taken: taken.checkpoint({"page": 7})),
        "large": on_taken(lambda taken: taken.checkpoint(LONG)),
    },
    "TakenJob.resumed_from(long)": {"": on_taken(lambda taken: taken.resumed_from, begun)},
    "TakenJob.output": {"": on_taken(lambda taken: taken.output("a.txt", b"content"))},
    "TakenJob.open": {
        "": on_taken(lambda taken: taken.open().read(), lambda by: ready(by, body=b"content"))
    },
    "TakenJob.create_read_stream": {
        "": on_taken(
            lambda taken: taken.create_read_stream().read(),
            lambda by: ready(by, body=b"content"),
        )
    },
    "TakenJob.download": {"": on_taken(TakenJob.download, lambda by: ready(by, body=b"content"))},
    "TakenJob.check": {"": on_taken(TakenJob.check)},
    "TakenJob.stir": {"": on_taken(TakenJob.stir)},
    "TakenJob.folder": {"": on_taken(TakenJob.folder)},
    "TakenJob.time_left": {"": on_taken(TakenJob.time_left)},
}
