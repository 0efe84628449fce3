"""The worker: receives messages, runs their jobs, and stops on request.

A message passes through these threads:

    _poll     one thread per lane: receive
    _work     one thread per job at a time: claim, run, commit
    _settle   one thread: delete, replace or hide messages, several in a request

The heartbeats thread extends leases. Both it and the settler may wait for AWS. The watchdog never
does: once a second it checks the others and writes their health.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from functools import partial
from typing import Any, Final

from remotejob.domain.argument_checks import check_choice
from remotejob.domain.errors import AccessProblem, UnknownQueue, WorkerStopping
from remotejob.domain.priority import Lane
from remotejob.domain.urgency import Urgency
from remotejob.outages import OutageLog, pause_after
from remotejob.ports import Address, Channel, Installation, Received
from remotejob.tasks.registry import Registry
from remotejob.worker.background import BackgroundThreads
from remotejob.worker.executors.executors import Executors
from remotejob.worker.lifecycle.alone import Alone
from remotejob.worker.lifecycle.company import Company
from remotejob.worker.lifecycle.daily_budget import BudgetWatch
from remotejob.worker.lifecycle.disk_space import DiskSpace
from remotejob.worker.lifecycle.health import Watch
from remotejob.worker.lifecycle.polling import AHEAD, Polling, arranged
from remotejob.worker.lifecycle.presence import Presence
from remotejob.worker.lifecycle.protection_policy import ProtectionPolicy
from remotejob.worker.lifecycle.shutdown import StopRequests
from remotejob.worker.lifecycle.stopped_queue import SwitchWatch
from remotejob.worker.lifecycle.supplies import Supplies
from remotejob.worker.lifecycle.threads import Threads, join_until, new_thread
from remotejob.worker.lifecycle.watchdog import TICK, Watchdog
from remotejob.worker.messages.handler import MessageHandler
from remotejob.worker.messages.heartbeats import Heartbeats
from remotejob.worker.messages.prefetched import Prefetched
from remotejob.worker.messages.settlements import Hide, RunAlone, Settlement
from remotejob.worker.messages.settler import Settler
from remotejob.worker.metrics import Metrics
from remotejob.worker.options import WorkerOptions, abilities_of
from remotejob.worker.runs.in_flight import InFlight
from remotejob.worker.runs.process_folder import remove_of_dead
from remotejob.worker.runs.run import Run

__all__ = ["STOP_MARGIN", "Worker", "WorkerOptions"]

log = logging.getLogger(__name__)

_LONG_POLL: Final = timedelta(seconds=20)
"""The longest SQS offers: three requests a minute for an idle lane."""

_NO_WAIT: Final = timedelta(0)
_FIRST_PAUSE: Final = 0.5
_LONGEST_PAUSE: Final = 30.0
"""Seconds to wait after failures in a row."""

_LONGEST_PREFETCH: Final = 3 * AHEAD.total_seconds()
"""Seconds that a message may wait here; then another worker may have it."""

_LONGEST_REQUESTS: Final = 600.0
_LONGEST_SETTLING: Final = 1800.0
"""Seconds after which a thread counts as stuck: longer than its requests and all their retries can
take while nobody answers."""

_HANDLE: Final = "handle a message"
_BEAT: Final = "send heartbeats"
_SETTLE: Final = "settle messages"

_GIVING_BACK: Final = 8.0
_GOODBYE: Final = 4.0
"""Seconds of a shutdown: to give back jobs, and to report the stop."""

_CHILDREN: Final = timedelta(seconds=4)
"""The most that running child processes get to notice the stop, even if their grace is longer."""

_IDLE_CHILDREN: Final = timedelta(seconds=2)
"""How long child processes that run nothing may take to end."""

STOP_MARGIN: Final = timedelta(seconds=_GIVING_BACK + _GOODBYE + 2)
"""How much longer than its grace a worker may take to stop, even if nobody answers."""

_LONGEST_DECLINE: Final = timedelta(seconds=30)
"""For workers that run some of a queue's tasks: another worker has the task, and will come soon."""


class Worker:
    """Serves one queue until `stop` is called."""

    def __init__(self, installation: Installation, tasks: Registry, options: WorkerOptions) -> None:
        """Raises: UnknownQueue; SettingsError, when a task of the queue is not registered."""
        description = installation.queues.get(options.queue)
        if description is None:
            raise UnknownQueue(options.queue, known=installation.queues)
        abilities = abilities_of(options, description)
        tasks.require(abilities, queue=options.queue)
        # its role may send to no other queue
        installation = replace(
            installation, sends_to=frozenset({options.queue}), actor=options.name
        )
        self._installation = installation
        self._options = options
        self._order = description.order
        self._runs = InFlight()
        self._metrics = Metrics(
            clock=installation.clock,
            write=options.write_metrics,
            skipped=installation.skipped,
        )
        self._abilities = abilities
        self._executors = Executors(tasks.values(), program=options.children)
        self._disk = DiskSpace(
            clock=installation.clock,
            min_free_percent=options.min_free_disk_percent,
            probe=options.disk_probe,
        )
        self._budget = BudgetWatch(installation, description, concurrency=options.concurrency)
        self._switch = SwitchWatch(installation, options.queue)
        self._company = Company()
        self._presence = Presence(
            installation,
            worker=options.name,
            queue=options.queue,
            abilities=abilities,
            concurrency=options.concurrency,
            running=self._runs.running,
            replaces=options.replaces,
            ecs_task=options.ecs_task,
        )
        self._background = BackgroundThreads(installation.clock, name="background")
        self._polling = Polling(concurrency=options.concurrency)
        self._supplies = Supplies(
            disk=self._disk,
            budget=self._budget,
            switch=self._switch,
            polling=self._polling,
            presence=self._presence,
            runs=self._runs,
            background=self._background,
            give_back=self._give_back_all,
            give_up=self._give_up,
        )
        self._handler = MessageHandler(
            installation,
            tasks if options.abilities is None else {name: tasks[name] for name in abilities},
            worker=options.name,
            runs=self._runs,
            call=self._call,
            metrics=self._metrics,
            longest_decline=None if options.abilities is None else _LONGEST_DECLINE,
            on_no_space=self._supplies.ran_out_of_space,
            on_begun=self._supplies.run_began,
            alone=self._company.is_alone,
        )
        self._heartbeats = Heartbeats(
            installation, self._handler, self._runs, background=self._background
        )
        self._settler = Settler(installation)
        self._prefetched = Prefetched(installation, self._runs)
        self._alone = Alone(
            installation, self._company, self._polling, give_back=self._give_back_all
        )
        self._stop_requests = StopRequests()
        self._wake_settler = threading.Event()
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
            start=self._background.start,
            guard=options.guard,
            policy=ProtectionPolicy(grace=options.grace),
            health_file=options.health_file,
            check_supplies=self._supplies.check,
        )
        self.gave_up: str | None = None
        """Why the worker stopped by itself, so that another process or container is needed."""

    def stop(self, urgency: Urgency | str = Urgency.NORMAL) -> None:
        """Receive nothing more, give back messages that have not begun, and stop.

        SOFT waits until all running jobs have finished, however long they take. NORMAL waits for
        them until the grace is over, then gives back the rest. HARD gives back all jobs at once.
        A later call can only raise the urgency; NORMAL twice means HARD.

        Safe to call from a signal handler.
        Raises: InvalidName, when there is no such urgency.
        """
        self._stop_requests.tell(check_choice("urgency=", urgency, Urgency))

    def run(self) -> bool:
        """Work until stopped. Returns whether all threads have ended.

        If not, the process must exit at once: another worker may run a job that was given back.
        """
        log.info(
            "worker starts", extra={"queue": self._options.queue, "worker": self._options.name}
        )
        remove_of_dead()
        self._executors.start(self._abilities)
        # before any lane asks
        self._budget.share()
        self._switch.read()
        self._supplies.check()
        threads = Threads(
            lanes=[new_thread(f"lane-{lane}", partial(self._poll, lane)) for lane in Lane],
            jobs=[
                new_thread(f"job-{number}", self._work)
                for number in range(self._options.concurrency)
            ],
            helpers=[
                new_thread("heartbeats", self._beat),
                new_thread("settler", self._settle),
            ],
        )
        watch = partial(
            self._watchdog.beat, threads, stop=self.stop, stopping=self._stopping, done=self._done
        )
        watchdog = new_thread("watchdog", watch)
        for thread in (*threads.lanes, *threads.jobs, *threads.helpers, watchdog):
            thread.start()
        self._stop_requests.first()
        self._stopping.set()
        return self._drain(threads.lanes, threads.jobs, [*threads.helpers, watchdog])

    def _call(self, run: Run) -> Any:
        file = run.record.input
        if file is not None:
            self._disk.expects(file.size)
        return self._executors.run(run)

    def _give_up(self, reason: str) -> None:
        if self._stopping.is_set():
            return
        self.gave_up = reason
        log.critical("giving up: %s", reason)
        self.stop()

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
            except Exception as problem:  # noqa: BLE001 (try again later)
                self._polling.received(lane, turn, 0)
                if isinstance(problem, AccessProblem):
                    self._presence.say_short(what, str(problem))
                self._pause(self._outages.failed(what, problem))
                continue
            self._outages.over(what)
            self._presence.say_short(what, None)
            self._metrics.received(len(received))
            if received:
                self._presence.note_sent(received[0].sent_ms)
            received = arranged(received, self._order, entropy=self._installation.entropy)
            kept = self._polling.received(lane, turn, len(received))
            # once they count: whoever gives back what waits takes it off the count
            self._runs.await_turn(received[:kept])
            self._prefetched.put(received[:kept])
            self._prefetched.refuse(received[kept:])

    def _work(self) -> None:
        failures = 0
        while (message := self._prefetched.get()) is not None:
            with self._company.together():
                if self._supplies.short:
                    self._return([message])
                    continue
                # given back meanwhile, by the shutdown or after waiting too long
                if self._stopping.is_set() or not self._runs.begin(message):
                    continue
                failures = self._handle(message, failures)

    def _handle(self, message: Received, failures: int) -> int:
        """Handle a message; return how many have failed in a row on this thread."""
        began = self._clock.monotonic()
        try:
            self._add(self._attend(message))
            self._executors.check_begun()
            self._outages.over(_HANDLE)
            self._presence.trouble_over(_HANDLE)
        except Exception as problem:  # noqa: BLE001 (the message reappears)
            self._outages.failed(_HANDLE, problem)
            self._presence.say_trouble(_HANDLE, problem)
            # by this thread's count: in an outage all threads fail at once, and a shared count
            # would make them all wait long
            self._pause(failures + 1)
            return failures + 1
        else:
            return 0
        finally:
            self._polling.finished(self._clock.monotonic() - began)
            self._wake_settler.set()

    def _attend(self, message: Received) -> Settlement | None:
        settlement = self._handler.attend(message)
        if not isinstance(settlement, RunAlone):
            return settlement
        with self._alone.with_nothing_beside(message) as alone:
            # something may have run short while it waited
            if alone and not self._supplies.short:
                return self._handler.attend(message)
        return Hide(message=message, span=self._alone.next_try)

    def _settle(self) -> None:
        while not self._done.is_set():
            if not self._settler.any:
                self._wake_settler.wait()
            self._wake_settler.clear()
            linger = self._options.linger
            # a lone message is settled at once; under load it waits for others to share requests
            while not (self._polling.idle or self._done.is_set()):
                if self._settler.due(linger=linger):
                    break
                if not self._settler.any:
                    break
                # poll, as an event for each would wake this thread thousands of times a second
                self._done.wait(linger.total_seconds() / 10)
            try:
                with self._watch.during("settling messages", longest=_LONGEST_SETTLING):
                    if self._polling.idle or self._done.is_set():
                        self._settler.flush()
                    else:
                        self._settler.flush_due(linger=linger)
                self._outages.over(_SETTLE)
            except Exception as problem:  # noqa: BLE001 (they reappear, and are settled again)
                self._outages.failed(_SETTLE, problem)

    def _add(self, settlement: Settlement | None) -> None:
        if settlement is not None:
            self._settler.add(settlement)
            self._wake_settler.set()

    def _pause(self, failures: int) -> None:
        self._stopping.wait(pause_after(failures, first=_FIRST_PAUSE, longest=_LONGEST_PAUSE))

    def _beat(self) -> None:
        pause = min(TICK, self._heartbeats.interval / 2).total_seconds()
        while not self._done.wait(pause):
            try:
                with self._watch.during("a heartbeat", longest=_LONGEST_REQUESTS):
                    for settlement in self._heartbeats.beat():
                        self._add(settlement)
                    self._give_back_late()
                self._metrics.tick()
                self._outages.over(_BEAT)
            except Exception as problem:  # noqa: BLE001 (the next beat tries again)
                self._outages.failed(_BEAT, problem)

    def _give_back_late(self) -> None:
        """Give back messages that did not begin soon, because longer jobs came before them."""
        late = self._prefetched.late(longest=_LONGEST_PREFETCH)
        if late:
            # in the background: a queue that hangs must not delay heartbeats
            self._background.do("give back", partial(self._return, late))

    def _give_back_all(self) -> None:
        self._background.do("give back", partial(self._return, self._runs.waiting()))

    def _return(self, late: list[Received]) -> None:
        for _ in range(self._prefetched.give_back(late)):
            self._polling.returned()

    def _drain(
        self,
        lanes: Sequence[threading.Thread],
        jobs: Sequence[threading.Thread],
        helpers: Sequence[threading.Thread],
    ) -> bool:
        """Stop. Each step has a time limit, so a hung request cannot stop the shutdown."""
        urgency = self._stop_requests.more(0)
        log.info("worker drains", extra={"running": len(self._runs.running()), "urgency": urgency})
        polls_end = self._clock.monotonic() + _LONG_POLL.total_seconds()
        self._polling.close()
        self._company.close()
        self._presence.drain()
        requests = [self._start_request("give back", self._prefetched.give_back_all)]
        for _ in jobs:
            self._prefetched.end_one()
        urgency = self._await_jobs(jobs, urgency)
        end = time.monotonic() + _GIVING_BACK
        grace = _NO_WAIT if urgency is Urgency.HARD else _CHILDREN
        requests += self._end_runs(jobs, grace=grace, until=end)
        join_until(requests, end)
        self._done.set()
        self._wake_settler.set()
        join_until(helpers, end)
        for settlement in self._heartbeats.settlements():
            self._add(settlement)
        requests.append(self._start_request("settle", self._settler.flush))
        join_until(requests, end)
        # an open poll may still receive messages, which we then give back: if we left before it
        # ended, they would stay hidden for a lease
        while any(thread.is_alive() for thread in lanes) and urgency is not Urgency.HARD:
            if self._clock.monotonic() >= polls_end:
                break
            urgency = self._stop_requests.more(0.1)
        # messages that a lane had received but not yet queued when we gave back the others
        requests.append(self._start_request("give back", self._prefetched.give_back_all))
        requests.append(self._start_request("report the stop", self._presence.stop))
        requests.append(self._start_request("share what was spent", self._budget.share))
        lost_leases = self._handler.lost_leases
        requests.append(self._start_request("say which leases were lost", lost_leases.say_all))
        # runs that have not ended by now no longer own their jobs
        close = partial(self._executors.close, within=_IDLE_CHILDREN)
        requests.append(self._start_request("end processes", close))
        join_until(requests, time.monotonic() + _GOODBYE)
        self._background.close()
        left = [thread.name for thread in (*jobs, *helpers, *requests) if thread.is_alive()]
        self._metrics.flush()
        if not left:
            self._watchdog.say_stopped()
        log.info("worker stops", extra={"clean": not left, "left": left})
        return not left

    def _await_jobs(self, jobs: Sequence[threading.Thread], urgency: Urgency) -> Urgency:
        """Wait for the jobs as long as the urgency allows; return the urgency by then."""
        end: float | None = None
        while any(thread.is_alive() for thread in jobs) and urgency is not Urgency.HARD:
            now = self._clock.monotonic()
            if urgency is Urgency.NORMAL:
                end = now + self._options.grace.total_seconds() if end is None else end
                if now >= end:
                    break
            urgency = self._stop_requests.more(0.1)
        return urgency

    def _end_runs(
        self, jobs: Sequence[threading.Thread], *, grace: timedelta, until: float
    ) -> list[threading.Thread]:
        """Give back running jobs, and those that are being claimed as soon as they run."""
        ending: dict[str, threading.Thread] = {}
        while True:
            running = self._runs.running()
            for run in running:
                # in parallel: one that hangs must not delay the others
                if run.run_id not in ending:
                    end = partial(self._end, run, grace=grace)
                    ending[run.run_id] = self._start_request("give back a job", end)
            # a job thread still alive without a run is claiming one
            claimed = sum(thread.is_alive() for thread in jobs) <= len(running)
            if claimed or time.monotonic() >= until:
                return list(ending.values())
            self._stop_requests.more(0.02)

    def _end(self, run: Run, *, grace: timedelta) -> None:
        reason = WorkerStopping("the worker is stopping")
        self._add(self._handler.end_run(run, reason, grace=grace))

    def _start_request(self, what: str, function: Callable[[], object]) -> threading.Thread:
        """Make a request on its own thread."""

        def make() -> None:
            try:
                function()
            except Exception as problem:  # noqa: BLE001 (leases end and messages reappear anyway)
                self._outages.failed(what, problem)

        thread = new_thread(what, make)
        thread.start()
        return thread
