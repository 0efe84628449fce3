"""Workers of `remotejob local` that end are named, and started again."""

from __future__ import annotations

import json
import signal
from dataclasses import dataclass, field
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import RemoteJobError
from remotejob.cli.exit_codes import Exit, explain
from remotejob.cli.local.workers import Ended, LocalWorkers, raise_if_hopeless
from remotejob.testing import FakeClock


@dataclass(kw_only=True)
class Worker:
    log: Path
    code: int | None = None
    signals: list[signal.Signals] = field(default_factory=list)

    def poll(self) -> int | None:
        return self.code

    def send(self, which: signal.Signals) -> None:
        self.signals.append(which)

    def kill(self) -> None:
        self.signals.append(signal.SIGKILL)


class Place:
    """Starts workers of one queue, and knows them."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.workers: list[Worker] = []

    def start(self) -> Worker:
        self.workers.append(Worker(log=self.log))
        return self.workers[-1]


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    monkeypatch.chdir(tmp_path)
    return Place(tmp_path / "worker-1.log")


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def local_workers(place: Place, said: list[str], clock: FakeClock) -> LocalWorkers:
    made = LocalWorkers(said.append, clock=clock.monotonic)
    made.start("thumbs", place.start)
    return made


def waits(local_workers: LocalWorkers, place: Place, clock: FakeClock) -> int:
    """How many seconds after its end the next worker starts."""
    begun = len(place.workers)
    place.workers[-1].code = 1
    local_workers.check()
    seconds = 0
    while len(place.workers) == begun:
        clock.advance(timedelta(seconds=1))
        seconds += 1
        local_workers.check()
    return seconds


def entry(level: str, message: str) -> str:
    return json.dumps({"level": level, "message": message}) + "\n"


def test_worker_that_lives_is_left_alone(
    local_workers: LocalWorkers, place: Place, said: list[str], clock: FakeClock
) -> None:
    clock.advance(timedelta(hours=1))
    local_workers.check()

    assert (len(place.workers), said) == (1, [])


def test_end_of_a_worker_is_reported_once_with_its_last_critical_line(
    local_workers: LocalWorkers, place: Place, said: list[str]
) -> None:
    place.log.write_text(
        entry("CRITICAL", "an older one")
        + entry("CRITICAL", "cannot start:\nno module")
        + entry("INFO", "bye")
        + "[1]\n"
    )
    place.workers[0].code = 1

    local_workers.check()
    local_workers.check()

    assert said == [
        "worker for queue thumbs ended with 1: cannot start: no module; see worker-1.log",
        "another worker for queue thumbs starts in 1 s",
    ]


@pytest.mark.parametrize(
    ("log", "told"),
    [
        ("Traceback:\nMemoryError: full\n\n", "MemoryError: full"),
        ('{"level": "DEBUG", "message": "run\\nbegins", "job": "01A"}\n', "run begins (job 01A)"),
        ("", "its log is empty"),
        (None, "its log is empty"),
    ],
)
def test_worker_without_a_critical_line_is_quoted_with_its_last(
    local_workers: LocalWorkers, place: Place, said: list[str], log: str | None, told: str
) -> None:
    if log is not None:
        place.log.write_text(log)
    place.workers[0].code = -9

    local_workers.check()

    assert said[0] == f"worker for queue thumbs ended with -9: {told}; see worker-1.log"


def test_waits_grow_to_half_a_minute(
    local_workers: LocalWorkers, place: Place, clock: FakeClock
) -> None:
    seen = [waits(local_workers, place, clock) for _ in range(8)]

    assert seen == [1, 2, 4, 8, 16, 30, 30, 30]


def test_worker_that_lived_for_long_is_replaced_soon(
    local_workers: LocalWorkers, place: Place, clock: FakeClock
) -> None:
    assert [waits(local_workers, place, clock) for _ in range(3)] == [1, 2, 4]
    clock.advance(timedelta(minutes=1))

    assert waits(local_workers, place, clock) == 1


def test_other_places_go_on(
    local_workers: LocalWorkers, place: Place, clock: FakeClock, tmp_path: Path
) -> None:
    other = Place(tmp_path / "other.log")
    local_workers.start("other", other.start)

    waits(local_workers, place, clock)

    assert (len(place.workers), len(other.workers)) == (2, 1)


@pytest.mark.parametrize(("code", "hopeless"), [(2, [True]), (1, [False, False, True])])
def test_worker_is_given_up_at_once_when_it_cannot_start_and_else_the_third_time(
    local_workers: LocalWorkers, place: Place, clock: FakeClock, code: int, hopeless: list[bool]
) -> None:
    seen: list[Ended] = []
    for _ in hopeless:
        place.workers[-1].code = code
        local_workers.check(on_ended=seen.append)
        clock.advance(timedelta(seconds=30))
        local_workers.check()

    assert [ended.hopeless for ended in seen] == hopeless


def test_what_is_given_up_is_not_started_again(
    local_workers: LocalWorkers, place: Place, said: list[str]
) -> None:
    def give_up(ended: Ended) -> None:
        raise RuntimeError(str(ended))

    place.workers[-1].code = 1
    with pytest.raises(RuntimeError, match="ended with 1"):
        local_workers.check(on_ended=give_up)

    assert (len(place.workers), said) == (1, [])


@pytest.mark.parametrize(
    ("code", "in_a_row", "exit_code"), [(2, 1, Exit.INVALID), (1, 3, Exit.TROUBLE)]
)
def test_giving_up_is_one_line_that_quotes_the_worker(
    place: Place, code: int, in_a_row: int, exit_code: Exit
) -> None:
    ended = Ended(queue="thumbs", code=code, log=place.log, in_a_row=in_a_row)

    with pytest.raises(RemoteJobError) as given_up:
        raise_if_hopeless(ended)

    assert explain(given_up.value)[0] == exit_code
    assert str(given_up.value).startswith(str(ended))
    assert "\n" not in str(given_up.value)


def test_worker_that_ended_once_is_not_given_up(place: Place) -> None:
    ended = Ended(queue="thumbs", code=-9, log=place.log, in_a_row=2)

    raise_if_hopeless(ended)

    assert not ended.hopeless


def test_worker_that_cannot_start_is_not_started_again_until_a_reload(
    local_workers: LocalWorkers, place: Place, said: list[str], clock: FakeClock
) -> None:
    place.workers[0].code = 2
    local_workers.check()
    clock.advance(timedelta(hours=1))
    local_workers.check()
    waited = len(place.workers)

    reloaded = local_workers.reload()

    assert said[1:] == ["the jobs of queue thumbs wait until a change mends that"]
    assert (waited, len(place.workers), reloaded) == (1, 2, 1)
    assert place.workers[0].signals == []


def test_reload_starts_the_new_worker_at_once_and_lets_the_old_one_finish(
    local_workers: LocalWorkers, place: Place, said: list[str], clock: FakeClock
) -> None:
    seen: list[tuple[int, int]] = []

    local_workers.reload(lambda: seen.append((len(place.workers), len(place.workers[0].signals))))
    clock.advance(timedelta(seconds=4))
    local_workers.check()
    early = list(place.workers[0].signals)
    clock.advance(timedelta(seconds=1))
    for _ in range(3):
        local_workers.check()

    # the old one was told to stop before the new one runs
    assert seen == [(1, 1)]
    assert early == [signal.SIGTERM]
    assert place.workers[0].signals == [signal.SIGTERM, signal.SIGQUIT]
    assert (len(place.workers), place.workers[1].signals, said) == (2, [], [])


def test_replaced_worker_that_ends_is_neither_reported_nor_replaced_again(
    local_workers: LocalWorkers, place: Place, said: list[str], clock: FakeClock
) -> None:
    local_workers.reload()
    place.workers[0].code = 0

    clock.advance(timedelta(minutes=1))
    local_workers.check()

    assert (place.workers[0].signals, len(place.workers), said) == ([signal.SIGTERM], 2, [])


def test_replaced_worker_that_does_not_end_is_killed(
    local_workers: LocalWorkers, place: Place, clock: FakeClock
) -> None:
    local_workers.reload()

    clock.advance(timedelta(seconds=20))
    local_workers.check()

    assert place.workers[0].signals == [signal.SIGTERM, signal.SIGKILL]


def test_reload_ends_the_growing_waits(
    local_workers: LocalWorkers, place: Place, clock: FakeClock
) -> None:
    assert [waits(local_workers, place, clock) for _ in range(3)] == [1, 2, 4]
    local_workers.reload()

    assert waits(local_workers, place, clock) == 1
