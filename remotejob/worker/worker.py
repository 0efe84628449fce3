"""The worker's threads: one a lane to receive, one a job to run, and three to look after those.

The heart extends leases and the settler carries out what is to become of messages; both may wait
for AWS. The pulse does not, and says once a second how all of them are.
"""

from __future__ import annotations

import logging
import queue
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from functools import partial
from typing import Final

from remotejob.domain.errors import UnknownQueue, WorkerStopping
from remotejob.domain.priority import Lane
from remotejob.domain.urgency import Urgency
from remotejob.outages import OutageLog, pause_after
from remotejob.ports import Address, Channel, Installation, Received
from remotejob.tasks.registry import Registry
from remotejob.worker.background import Threads as Background
from remotejob.worker.executors.executors import Executors
from remotejob.worker.lifecycle.health import Watch
from remotejob.worker.lifecycle.polling import AHEAD, Polling, arranged
from remotejob.worker.lifecycle.presence import Presence
from remotejob.worker.lifecycle.protection_policy import ProtectionPolicy
from remotejob.worker.lifecycle.shutdown import StopRequests
from remotejob.worker.lifecycle.watchdog import TICK, Threads, Watchdog
from remotejob.worker.messages.handler import MessageHandler
from remotejob.worker.messages.heartbeats import Heartbeats
from remotejob.worker.messages.settlements import Settlement
from remotejob.worker.messages.settler import Settler
from remotejob.worker.metrics import Metrics
from remotejob.worker.options import WorkerOptions, abilities_of
from remotejob.worker.runs.in_flight import InFlight
from remotejob.worker.runs.run import Run

__all__ = ["STOP_MARGIN", "Worker", "WorkerOptions"]

log = logging.getLogger(__name__)

_LONG_POLL: Final = timedelta(seconds=20)
"""The longest SQS offers: three requests a minute for an idle lane."""

_NO_WAIT: Final = timedelta(0)
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
"""Seconds, after failures in a row."""

_LONGEST_TURN: Final = 3 * AHEAD.total_seconds()

_LONGEST_REQUESTS: Final = 600.0
_LONGEST_SETTLING: Final = 1800.0
"""Seconds after which a thread is thought stuck: beyond all that requests which are not answered,
each tried again and again, can take."""

_SEE_TO: Final = "see to a message"
_BEAT: Final = "beat"
_SETTLE: Final = "settle messages"
_GIVE_BACK: Final = "give back messages"

_GIVING_BACK: Final = 8.0
_FAREWELL: Final = 4.0
_CHILDREN: Final = timedelta(seconds=4)
"""How long tasks in processes may take to notice that they must stop, at most: their own grace."""

_CHILDREN_AT_REST: Final = timedelta(seconds=2)
"""How long processes that run nothing may take to end."""

STOP_MARGIN: Final = timedelta(seconds=_GIVING_BACK + _FAREWELL + 2)
"""How much longer than its grace a worker may take to stop, whatever does not answer."""

_LONGEST_DECLINE: Final = timedelta(seconds=30)
"""Where workers differ on purpose, one that has the task is near."""


class Worker:
    """Serves one queue until it is told to stop."""

    def __init__(self, installation: Installation, tasks: Registry, options: WorkerOptions) -> None:
        """Raises: UnknownQueue; SettingsError, when a task the queue is to run is missing."""
        description = installation.queues.get(options.queue)
        if description is None:
            raise UnknownQueue(options.queue, known=installation.queues)
        abilities = abilities_of(options, description)
        tasks.require(abilities, queue=options.queue)
        self._installation = installation
        self._options = options
        self._order = description.order
        self._runs = InFlight()
        self._metrics = Metrics(clock=installation.clock, write=options.write_metrics)
        self._abilities = abilities
        self._executors = Executors(tasks.values(), program=options.children)
        self._handler = MessageHandler(
            installation,
            tasks if options.abilities is None else {name: tasks[name] for name in abilities},
            worker=options.name,
            runs=self._runs,
            call=self._executors.run,
            metrics=self._metrics,
            longest_decline=None if options.abilities is None else _LONGEST_DECLINE,
        )
        self._presence = Presence(
            installation,
            worker=options.name,
            queue=options.queue,
            abilities=abilities,
            concurrency=options.concurrency,
            running=self._runs.running,
            replaces=options.replaces,
        )
        self._background = Background(installation.clock, name="beat")
        self._heartbeats = Heartbeats(
            installation, self._handler, self._runs, background=self._background
        )
        self._settler = Settler(installation)
        self._polling = Polling(concurrency=options.concurrency)
        self._turns: queue.SimpleQueue[Received | None] = queue.SimpleQueue()
        self._told = StopRequests()
        self._began_waiting: dict[str, float] = {}
        self._settled = threading.Event()
        self._stopping = threading.Event()
        self._done = threading.Event()
        self._clock = installation.clock
        self._outages = OutageLog(installation.clock)
        self._watch = Watch(installation.clock)
        self._watchdog = Watchdog(
            clock=installation.clock,
            runs=self._runs,
            watch=self._watch,
            presence=self._presence,
            later=self._background.start,
            guard=options.guard,
            need=ProtectionPolicy(grace=options.grace),
            health_file=options.health_file,
        )

    def stop(self, urgency: Urgency = Urgency.NORMAL) -> None:
        """Receive nothing more, give back what has not begun, and stop.

        SOFT: when all that has begun is finished, however long it takes. NORMAL: when it is
        finished, or the grace is over; the rest is given back. HARD: at once, all is given back.
        A later call makes it more urgent, never less; NORMAL asked for twice is HARD.

        Safe to call from a signal handler.
        """
        self._told.tell(urgency)

    def run(self) -> bool:
        """Work until stopped. Returns whether everything has ended in its own thread.

        If not, the process must exit at once: a job that was given back may run elsewhere.
        """
        log.info(
            "worker starts", extra={"queue": self._options.queue, "worker": self._options.name}
        )
        self._executors.start(self._abilities)
        threads = Threads(
            lanes=[self._thread(f"lane-{lane}", partial(self._poll, lane)) for lane in Lane],
            jobs=[
                self._thread(f"job-{number}", self._work)
                for number in range(self._options.concurrency)
            ],
            helpers=[self._thread("heart", self._beat), self._thread("settler", self._settle)],
        )
        beat = partial(
            self._watchdog.beat, threads, stop=self.stop, stopping=self._stopping, done=self._done
        )
        watchdog = self._thread("pulse", beat)
        for thread in (*threads.lanes, *threads.jobs, *threads.helpers, watchdog):
            thread.start()
        self._told.first()
        self._stopping.set()
        return self._drain(threads.lanes, threads.jobs, [*threads.helpers, watchdog])

    def _drain(
        self,
        lanes: Sequence[threading.Thread],
        jobs: Sequence[threading.Thread],
        helpers: Sequence[threading.Thread],
    ) -> bool:
        """Stop. Of the requests it makes, none is waited for longer than there is time."""
        urgency = self._told.more(0)
        log.info("worker drains", extra={"running": len(self._runs.running()), "urgency": urgency})
        polls_end = self._clock.monotonic() + _LONG_POLL.total_seconds()
        self._polling.close()
        self._presence.drain()
        aside = [self._aside("give back", lambda: self._give_back(self._runs.waiting()))]
        for _ in jobs:
            self._turns.put(None)
        urgency = self._await_jobs(jobs, urgency)
        end = time.monotonic() + _GIVING_BACK
        grace = _NO_WAIT if urgency is Urgency.HARD else _CHILDREN
        aside += self._end_runs(jobs, grace=grace, until=end)
        _join(aside, until=end)
        self._done.set()
        self._settled.set()
        _join(helpers, until=end)
        for settlement in self._heartbeats.settlements():
            self._add(settlement)
        aside.append(self._aside("settle", self._settler.flush))
        _join(aside, until=end)
        # a poll that is still open may yet bring messages, which are then given back: where it
        # would be given up, they would stay hidden for a lease
        while any(thread.is_alive() for thread in lanes) and urgency is not Urgency.HARD:
            if self._clock.monotonic() >= polls_end:
                break
            urgency = self._told.more(0.1)
        # what a lane had received and not yet put forward when the others were given back
        aside.append(self._aside("give back", lambda: self._give_back(self._runs.waiting())))
        aside.append(self._aside("say farewell", self._presence.stop))
        # none of what still runs owns its job any more
        close = partial(self._executors.close, within=_CHILDREN_AT_REST)
        aside.append(self._aside("end processes", close))
        _join(aside, until=time.monotonic() + _FAREWELL)
        self._background.close()
        left = [thread.name for thread in (*jobs, *helpers, *aside) if thread.is_alive()]
        self._metrics.flush()
        if not left:
            self._watchdog.say_stopped()
        log.info("worker stops", extra={"clean": not left, "left": left})
        return not left

    def _await_jobs(self, jobs: Sequence[threading.Thread], urgency: Urgency) -> Urgency:
        """Until all have ended, or need not be waited for; how urgent it is by then."""
        end: float | None = None
        while any(thread.is_alive() for thread in jobs) and urgency is not Urgency.HARD:
            now = self._clock.monotonic()
            if urgency is Urgency.NORMAL:
                end = now + self._options.grace.total_seconds() if end is None else end
                if now >= end:
                    break
            urgency = self._told.more(0.1)
        return urgency

    def _end_runs(
        self, jobs: Sequence[threading.Thread], *, grace: timedelta, until: float
    ) -> list[threading.Thread]:
        """Give back what still runs, and what is being claimed, once it is."""
        ending: dict[str, threading.Thread] = {}
        while True:
            running = self._runs.running()
            for run in running:
                # side by side: one that cannot be given back holds back no other
                if run.run_id not in ending:
                    end = partial(self._end, run, grace=grace)
                    ending[run.run_id] = self._aside("give back a job", end)
            # each that lives on has a run, which is no longer its to end
            claimed = sum(thread.is_alive() for thread in jobs) <= len(running)
            if claimed or time.monotonic() >= until:
                return list(ending.values())
            self._told.more(0.02)

    def _end(self, run: Run, *, grace: timedelta) -> None:
        reason = WorkerStopping("the worker is stopping")
        self._add(self._handler.end_run(run, reason, grace=grace))

    def _aside(self, what: str, function: Callable[[], object]) -> threading.Thread:
        """Have a request made beside, by whom nobody is held up."""

        def make() -> None:
            try:
                function()
            except Exception as problem:  # noqa: BLE001 (what it held comes back by itself)
                self._outages.failed(what, problem)

        thread = self._thread(what, make)
        thread.start()
        return thread

    def _poll(self, lane: Lane) -> None:
        address = Address(self._options.queue, Channel(lane.value))
        messages = self._installation.messages
        what = f"receive from lane {lane}"
        while (turn := self._polling.turn(lane)) is not None:
            try:
                with self._watch.during(what, longest=_LONGEST_REQUESTS):
                    received = messages.receive(
                        address,
                        limit=turn.limit,
                        wait=_NO_WAIT if turn.hot else _LONG_POLL,
                        hidden=self._installation.lease,
                    )
            except Exception as problem:  # noqa: BLE001 (whatever it is, try again later)
                self._polling.received(lane, turn, 0)
                self._pause(self._outages.failed(what, problem))
                continue
            self._outages.over(what)
            self._metrics.received(len(received))
            received = arranged(received, self._order, entropy=self._installation.entropy)
            self._runs.await_turn(received)
            kept = self._polling.received(lane, turn, len(received))
            for message in received[:kept]:
                self._turns.put(message)
            self._give_back(received[kept:])

    def _work(self) -> None:
        failures = 0
        while (message := self._turns.get()) is not None:
            # given back by whoever drains, or because it waited too long
            if self._stopping.is_set() or not self._runs.begin(message):
                continue
            began = self._clock.monotonic()
            try:
                self._add(self._handler.attend(message))
                self._executors.check_begun()
                self._outages.over(_SEE_TO)
            except Exception as problem:  # noqa: BLE001 (the message stays, and comes again)
                failures += 1
                self._outages.failed(_SEE_TO, problem)
                # by this thread's own count: in a moment all of them fail, each for the first time
                self._pause(failures)
            else:
                failures = 0
            finally:
                self._polling.finished(self._clock.monotonic() - began)
                self._settled.set()

    def _beat(self) -> None:
        pause = min(TICK, self._heartbeats.interval / 2).total_seconds()
        while not self._done.wait(pause):
            try:
                with self._watch.during("a heartbeat", longest=_LONGEST_REQUESTS):
                    for settlement in self._heartbeats.beat():
                        self._add(settlement)
                    # as the heart's own requests: a queue that hangs must not hold it up
                    self._return_what_waits()
                self._metrics.tick()
                self._outages.over(_BEAT)
            except Exception as problem:  # noqa: BLE001 (it beats again)
                self._outages.failed(_BEAT, problem)

    def _return_what_waits(self) -> None:
        """Give back what was fetched ahead and did not begin soon: longer jobs came before it."""
        now = self._clock.monotonic()
        waiting = {message.receipt: message for message in self._runs.waiting()}
        began = self._began_waiting
        self._began_waiting = {receipt: began.get(receipt, now) for receipt in waiting}
        late = [
            message
            for receipt, message in waiting.items()
            if now - self._began_waiting[receipt] > _LONGEST_TURN
        ]
        if late:
            self._background.do("give back", lambda: self._return(late))

    def _return(self, late: list[Received]) -> None:
        for _ in range(self._give_back(late)):
            self._polling.returned()

    def _settle(self) -> None:
        while not self._done.is_set():
            if not self._settler.any:
                self._settled.wait()
            self._settled.clear()
            linger = self._options.linger
            # alone, a message is settled at once; among others it waits for them
            while not (self._polling.idle or self._done.is_set()):
                if self._settler.due(linger=linger):
                    break
                if not self._settler.any:
                    break
                # not woken by each: there may be thousands a second
                self._done.wait(linger.total_seconds() / 10)
            try:
                with self._watch.during("settling messages", longest=_LONGEST_SETTLING):
                    if self._polling.idle or self._done.is_set():
                        self._settler.flush()
                    else:
                        self._settler.flush_due(linger=linger)
                self._outages.over(_SETTLE)
            except Exception as problem:  # noqa: BLE001 (they come back, and are settled anew)
                self._outages.failed(_SETTLE, problem)

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
                self._outages.over(_GIVE_BACK)
            except Exception as problem:  # noqa: BLE001 (they come back when their time is up)
                self._outages.failed(_GIVE_BACK, problem, lane=str(address))
        return sum(len(receipts) for receipts in by_address.values())

    def _pause(self, failures: int) -> None:
        self._stopping.wait(pause_after(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE))

    def _thread(self, name: str, target: Callable[[], None]) -> threading.Thread:
        def run() -> None:
            try:
                target()
            except BaseException:
                # that it is gone is seen by the pulse
                log.critical("thread %s ends, and should not", name, exc_info=True)

        # daemons: a task that never returns must not keep the process from exiting
        return threading.Thread(target=run, name=name, daemon=True)


def _join(threads: Iterable[threading.Thread], *, until: float) -> None:
    """Wait for threads, no longer than until then on the machine's own clock."""
    for thread in threads:
        thread.join(max(0.0, until - time.monotonic()))
