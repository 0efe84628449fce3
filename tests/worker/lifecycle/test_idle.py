"""What a worker that has nothing to do asks of AWS, and what it says of itself."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, TypeVar

from remotejob import Queue, RemoteJob, Urgency
from remotejob.container.health import check
from remotejob.ports import Installation
from remotejob.tasks import Registry
from remotejob.testing.interception import intercepted
from remotejob.worker.lifecycle.health import Health
from tests.end_to_end.waiting import until
from tests.worker.lifecycle.working import Holding, working

T = TypeVar("T")

POLLS = 30
LONG_POLL = timedelta(seconds=20)


class NothingThere:
    """Answers that there is no message, as after a long poll; notes every request."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.asked: list[str] = []
        self.enough = threading.Event()
        self.over = threading.Event()

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        with self._lock:
            self.asked.append(name)
            if self.asked.count("messages.receive") >= POLLS:
                self.enough.set()
        if name == "messages.receive" and self.enough.is_set():
            self.over.wait()
        return function()


class _Waits:
    """The messages, noting how long each poll would wait, and waiting for none."""

    def __init__(self, installation: Installation) -> None:
        self._messages = installation.messages
        self.waits: list[timedelta] = []

    def __getattr__(self, name: str) -> Any:
        return getattr(self._messages, name)

    def receive(self, address: Any, *, limit: int, wait: timedelta, hidden: timedelta) -> Any:
        self.waits.append(wait)
        return self._messages.receive(address, limit=limit, wait=timedelta(0), hidden=hidden)


def test_idle_worker_asks_for_messages_by_long_polls_and_for_nothing_else(
    installation: Installation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: None)
    waits, nothing = _Waits(installation), NothingThere()
    seen = intercepted(replace(installation, messages=waits), nothing)
    with working(seen, tasks, concurrency=8) as worker:
        assert nothing.enough.wait(30)
        until(lambda: "store.put_note" in nothing.asked, what="its first sign")
        # ten minutes of long polls, as many as three lanes make
        idle = list(nothing.asked)
        nothing.over.set()
        worker.stop(Urgency.HARD)

    assert sorted(set(idle)) == ["messages.receive", "store.item", "store.put_note"]
    assert idle.count("store.put_note") == 1
    assert idle.count("store.item") == 1, "whether its queue is stopped, less than once a minute"
    assert set(waits.waits) == {LONG_POLL}, "three requests a minute a lane"


def test_worker_says_in_a_file_how_it_is(
    installation: Installation, queue: Queue, tasks: Registry, tmp_path: Path
) -> None:
    hold, file = Holding(), tmp_path / "health"
    tasks.task("work")(hold)
    with working(installation, tasks, health_file=file) as worker:
        until(file.exists, what="its health")
        assert (Health.read(file).running, Health.read(file).problem) == (0, None)
        queue.submit("work")
        until(lambda: Health.read(file).running == 1, what="the job, in its health")
        worker.stop(Urgency.SOFT)
        until(worker.worker._stopping.is_set, what="that it heard")
        said = Health.read(file)
        until(lambda: Health.read(file).at_ms > said.at_ms, what="that it says more")
        assert Health.read(file).problem is None, "it stops, and that is none"
        hold.go.set()
        worker.ended()
        assert worker.clean.result() is True
    assert [*tmp_path.iterdir()] == [file]
    assert Health.read(file).stopped
    hours_later = installation.clock.now_ms() / 1000 + 7200
    assert check(file, now=hours_later) is None, "its siblings may go on for hours"


def test_thread_that_died_is_logged_and_the_others_go_on(
    installation: Installation, queue: Queue, tasks: Registry, tmp_path: Path
) -> None:
    tasks.task("work")(lambda job: "done")
    dying = _Dying("high")
    file = tmp_path / "health"
    with working(intercepted(installation, dying), tasks, health_file=file):
        until(lambda: file.exists() and Health.read(file).problem is not None, what="the problem")
        assert Health.read(file).problem == "thread lane-high has ended"
        assert queue.submit("work").wait(30).result == "done"


def test_worker_whose_lanes_have_all_died_stops_by_itself(
    installation: Installation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: "done")
    with working(intercepted(installation, _Dying("")), tasks) as worker:
        assert worker.clean.result(30) is True


class _Dying:
    """Lanes of such a name end with what no thread survives."""

    def __init__(self, lane: str) -> None:
        self._lane = lane

    def request(self, name: str, arguments: tuple[Any, ...], function: Callable[[], T]) -> T:
        if name == "messages.receive" and arguments[0].channel.startswith(self._lane):
            raise SystemExit
        return function()


def test_worker_is_listed_as_idle_when_its_last_sign_is_old(
    installation: Installation, tasks: Registry
) -> None:
    tasks.task("work")(lambda job: "done")
    remote = RemoteJob(installation)
    with working(installation, tasks) as worker:
        until(remote.workers, what="its sign")
        assert [status.alive for status in remote.workers()] == [True]
        worker.stop(Urgency.HARD)
    assert [status.alive for status in remote.workers()] == [False]
