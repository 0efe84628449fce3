"""The worker's threads: one a lane to receive, one a job to run, a heart, and a settler."""

from __future__ import annotations

import logging
import queue
import random
import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

from remotejob.domain.errors import SettingsError, UnknownQueue, WorkerStopping
from remotejob.domain.priority import Lane
from remotejob.ports import Address, Channel, Installation, QueueDescription, Received
from remotejob.tasks import Registry
from remotejob.worker.attendant import Attendant
from remotejob.worker.heart import Heart
from remotejob.worker.intake import AHEAD, Intake, arranged
from remotejob.worker.presence import Presence
from remotejob.worker.runs import Runs
from remotejob.worker.settlements import Settlement
from remotejob.worker.settler import Settler

log = logging.getLogger(__name__)

_LONG_POLL: Final = timedelta(seconds=20)
"""The longest SQS offers: three requests a minute for an idle lane."""

_NO_WAIT: Final = timedelta(0)
_HEARTBEAT_TICK: Final = timedelta(seconds=1)
_LONGEST_PAUSE: Final = 30.0
_LONGEST_TURN: Final = 3 * AHEAD.total_seconds()
_HOPELESS: Final = 60.0
"""Seconds after which a run that was ended over its thread's head is thought never to return."""

_BEATS_AT_A_TIME: Final = 8

_LONGEST_DECLINE: Final = timedelta(seconds=30)
"""Where workers differ on purpose, one that has the task is near."""


@dataclass(frozen=True, kw_only=True, slots=True)
class WorkerOptions:
    """How a worker works."""

    queue: str
    name: str
    """Who this worker is, as its jobs' records say."""
    concurrency: int = 4
    """Jobs at a time."""
    grace: timedelta = timedelta(seconds=100)
    """How long jobs may go on once the worker is told to stop; the rest is given back.
    Below Fargate's longest stop timeout, 120 s."""
    linger: timedelta = timedelta(milliseconds=500)
    """How long a settled message may wait for others, to share their requests."""
    health_file: Path | None = None
    """Touched while the worker is alive and not stuck."""
    abilities: tuple[str, ...] | None = None
    """Which of the queue's tasks it runs, where others run the rest; default all of them.
    Source: forerunner, the manifest of a worker."""


class Worker:
    """Serves one queue until it is told to stop."""

    def __init__(self, installation: Installation, tasks: Registry, options: WorkerOptions) -> None:
        """Raises: UnknownQueue; SettingsError, when a task the queue is to run is missing."""
        description = installation.queues.get(options.queue)
        if description is None:
            raise UnknownQueue(options.queue, known=installation.queues)
        abilities = _abilities(options, description)
        tasks.require(abilities, queue=options.queue)
        self._installation = installation
        self._options = options
        self._order = description.order
        self._runs = Runs()
        self._attendant = Attendant(
            installation,
            tasks if options.abilities is None else {name: tasks[name] for name in abilities},
            worker=options.name,
            runs=self._runs,
            longest_decline=None if options.abilities is None else _LONGEST_DECLINE,
        )
        self._presence = Presence(
            installation,
            worker=options.name,
            queue=options.queue,
            abilities=abilities,
            concurrency=options.concurrency,
            running=self._runs.running,
        )
        self._beats = ThreadPoolExecutor(_BEATS_AT_A_TIME, thread_name_prefix="beat")
        self._heart = Heart(installation, self._attendant, self._runs, each=self._beats.map)
        self._settler = Settler(installation)
        self._intake = Intake(concurrency=options.concurrency)
        self._turns: queue.SimpleQueue[Received | None] = queue.SimpleQueue()
        self._told: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._began_waiting: dict[str, float] = {}
        self._settled = threading.Event()
        self._stopping = threading.Event()
        self._hurry = threading.Event()
        self._done = threading.Event()
        self._failures = _Failures()

    def stop(self) -> None:
        """Receive nothing more, finish what ends in time, give back the rest. Twice: at once.

        Safe to call from a signal handler.
        """
        # an event's lock may be held by the very thread the signal interrupted; this queue's is not
        self._told.put(None)

    def run(self) -> bool:
        """Work until stopped. Returns whether every run has ended in its own thread.

        If not, the process must exit at once: a job that was given back may run elsewhere.
        """
        log.info(
            "worker starts", extra={"queue": self._options.queue, "worker": self._options.name}
        )
        lanes = [self._thread(f"lane-{lane}", lambda lane=lane: self._poll(lane)) for lane in Lane]  # type: ignore[misc]
        jobs = [
            self._thread(f"job-{number}", self._work) for number in range(self._options.concurrency)
        ]
        helpers = [self._thread("heart", self._beat), self._thread("settler", self._settle)]
        for thread in (*lanes, *jobs, *helpers):
            thread.start()
        self._told.get()
        self._stopping.set()
        return self._drain(lanes, jobs, helpers)

    def _drain(
        self,
        lanes: list[threading.Thread],
        jobs: list[threading.Thread],
        helpers: list[threading.Thread],
    ) -> bool:
        log.info("worker drains", extra={"running": len(self._runs.running())})
        self._intake.close()
        self._give_back(self._runs.waiting())
        for _ in jobs:
            self._turns.put(None)
        end = time.monotonic() + self._options.grace.total_seconds()
        while any(thread.is_alive() for thread in jobs) and time.monotonic() < end:
            if self._told_again(0.1):
                break
        for run in self._runs.running():
            try:
                self._add(self._attendant.end_run(run, WorkerStopping("the worker is stopping")))
            except Exception:
                # one that cannot be given back holds back no other; its lease will end
                log.exception("run not given back", extra={"job": run.job_id, "run": run.run_id})
        self._done.set()
        self._settled.set()
        for thread in helpers:
            thread.join()
        self._settler.flush()
        # a poll that is still open may yet bring messages, which are then given back
        end = time.monotonic() + _LONG_POLL.total_seconds()
        for thread in lanes:
            while thread.is_alive() and time.monotonic() < end and not self._told_again(0.1):
                pass
        # what a lane had received and not yet put forward when the others were given back
        self._give_back(self._runs.waiting())
        self._presence.stop()
        self._beats.shutdown(wait=False)
        clean = not any(thread.is_alive() for thread in jobs)
        log.info("worker stops", extra={"clean": clean})
        return clean

    def _told_again(self, seconds: float) -> bool:
        """Whether somebody asked a second time; waits a moment for it."""
        if not self._hurry.is_set():
            try:
                self._told.get(timeout=seconds)
            except queue.Empty:
                return False
            self._hurry.set()
        return True

    def _poll(self, lane: Lane) -> None:
        address = Address(self._options.queue, Channel(lane.value))
        messages = self._installation.messages
        while (turn := self._intake.turn(lane)) is not None:
            try:
                received = messages.receive(
                    address,
                    limit=turn.limit,
                    wait=_NO_WAIT if turn.hot else _LONG_POLL,
                    hidden=self._installation.lease,
                )
            except Exception as problem:  # noqa: BLE001 (whatever it is, try again later)
                self._intake.received(lane, turn, 0)
                self._pause_after(f"receive from lane {lane}", problem)
                continue
            self._failures.over()
            received = arranged(received, self._order, entropy=self._installation.entropy)
            self._runs.await_turn(received)
            kept = self._intake.received(lane, turn, len(received))
            for message in received[:kept]:
                self._turns.put(message)
            self._give_back(received[kept:])

    def _work(self) -> None:
        while (message := self._turns.get()) is not None:
            # given back by whoever drains, or because it waited too long
            if self._stopping.is_set() or not self._runs.begin(message):
                continue
            began = time.monotonic()
            try:
                self._add(self._attendant.attend(message))
                self._failures.over()
            except Exception as problem:  # noqa: BLE001 (the message stays, and comes again)
                self._pause_after("see to a message", problem)
            finally:
                self._intake.finished(time.monotonic() - began)
                self._settled.set()

    def _beat(self) -> None:
        pause = min(_HEARTBEAT_TICK, self._heart.interval / 2).total_seconds()
        while not self._done.wait(pause):
            try:
                for settlement in self._heart.beat():
                    self._add(settlement)
                self._return_what_waits()
                self._stop_when_lost()
                self._presence.give_if_due(self._beats.submit)
            except Exception:
                log.exception("heartbeat failed; it beats again")
            if self._options.health_file is not None:
                self._options.health_file.touch()

    def _return_what_waits(self) -> None:
        """Give back what was fetched ahead and did not begin soon: longer jobs came before it."""
        now = time.monotonic()
        waiting = {message.receipt: message for message in self._runs.waiting()}
        began = self._began_waiting
        self._began_waiting = {receipt: began.get(receipt, now) for receipt in waiting}
        late = [
            message
            for receipt, message in waiting.items()
            if now - self._began_waiting[receipt] > _LONGEST_TURN
        ]
        for _ in range(self._give_back(late)):
            self._intake.returned()

    def _stop_when_lost(self) -> None:
        """Stop once half the threads are held by runs that were ended over their heads.

        A thread cannot be ended from outside; a process can, and the service starts another.
        """
        lost = sum(run.ended_for(_HOPELESS) for run in self._runs.running())
        if lost * 2 >= self._options.concurrency and not self._stopping.is_set():
            log.critical("stopping: %d tasks do not return, long after their time", lost)
            self.stop()

    def _settle(self) -> None:
        while not self._done.is_set():
            self._settled.wait()
            self._settled.clear()
            linger = self._options.linger
            # alone, a message is settled at once; among others it waits for them
            while not (self._intake.idle or self._done.is_set()):
                if self._settler.due(linger=linger):
                    break
                if not self._settler.any:
                    break
                self._settled.wait(linger.total_seconds() / 5)
                self._settled.clear()
            self._settler.flush()

    def _add(self, settlement: Settlement | None) -> None:
        if settlement is not None:
            self._settler.add(settlement)
            self._settled.set()

    def _give_back(self, messages: list[Received]) -> int:
        """Make messages visible that no thread has begun with; how many those are."""
        by_address: dict[Address, list[str]] = {}
        for message in messages:
            if self._runs.begin(message):
                by_address.setdefault(message.address, []).append(message.receipt)
        for address, receipts in by_address.items():
            try:
                self._installation.messages.hide(address, receipts, _NO_WAIT)
            except Exception as problem:  # noqa: BLE001 (they come back when their time is up)
                log.warning("messages not given back: %s", problem, extra={"lane": str(address)})
        return sum(len(receipts) for receipts in by_address.values())

    def _pause_after(self, what: str, problem: Exception) -> None:
        self._stopping.wait(self._failures.another(what, problem))

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        # daemons: a task that never returns must not keep the process from exiting
        return threading.Thread(target=target, name=name, daemon=True)


def _abilities(options: WorkerOptions, queue: QueueDescription) -> tuple[str, ...]:
    """Raises: SettingsError, when the queue has no such tasks."""
    if options.abilities is None:
        return queue.tasks
    for name in options.abilities:
        if name not in queue.tasks:
            raise SettingsError(
                f"ability {name!r}: queue {queue.name!r} runs {', '.join(queue.tasks)}; use some "
                "of these, or none for all"
            )
    if not options.abilities:
        raise SettingsError("abilities=(): name a task at least, or leave them out for all")
    return options.abilities


class _Failures:
    """How long to pause after failures in a row, and when to say so: at the first, then rarely."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._in_a_row = 0

    def another(self, what: str, problem: Exception) -> float:
        """Seconds to wait, longer each time and never the same for all workers."""
        with self._lock:
            self._in_a_row += 1
            count = self._in_a_row
        if count & (count - 1) == 0:
            log.error(
                "cannot %s (%d in a row): %s: %s", what, count, type(problem).__name__, problem
            )
        return random.uniform(0.5, 1) * min(_LONGEST_PAUSE, 0.5 * 2.0 ** min(count, 10))  # noqa: S311

    def over(self) -> None:
        with self._lock:
            recovered, self._in_a_row = self._in_a_row, 0
        if recovered > 1:
            log.info("working again after %d failures", recovered)
