"""What `remotejob local` shows of the workers that services start and stop."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, cast

import pytest

from remotejob import RemoteJobError
from remotejob.cli.exit_codes import Exit, explain
from remotejob.cli.local.workers import Ended, LocalWorkers, raise_if_hopeless
from remotejob.local.ecs.history import Change
from remotejob.local.ecs.service import StopCode
from remotejob.local.services import Services


class FakeServices:
    """Services whose history a test writes."""

    def __init__(self, log: Path) -> None:
        self.log = log
        self.history: list[Change] = []
        self.did: list[Any] = []

    def changes(self, since: int) -> Sequence[Change]:
        return self.history[since:]

    def hold(self, *, hurry: timedelta, kill: timedelta) -> int:
        self.did.append(("hold", hurry.total_seconds(), kill.total_seconds()))
        return 2

    def go(self) -> None:
        self.did.append("go")

    # --- what a test does ----------------------------------------------------------------------

    def starts(self, service: str = "thumbs-service") -> None:
        self._note(service=service, has_started=True)

    def dies(self, code: int | None, *, in_a_row: int = 1, reason: str = "") -> None:
        self._note(
            has_started=False,
            exit_code=code,
            stop_code=StopCode.CONTAINER_EXITED,
            by_itself=True,
            failed_in_a_row=in_a_row,
            reason=reason,
        )

    def stops(self, code: StopCode) -> None:
        self._note(has_started=False, exit_code=0, stop_code=code, reason="Scaling activity")

    def _note(self, *, has_started: bool, service: str = "thumbs-service", **more: Any) -> None:
        change = Change(
            number=len(self.history) + 1,
            service=service,
            task_arn="task",
            has_started=has_started,
            log=str(self.log),
        )
        self.history.append(replace(change, **more))


@pytest.fixture
def log(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "worker-1.log"


@pytest.fixture
def services(log: Path) -> FakeServices:
    return FakeServices(log)


@pytest.fixture
def said() -> list[str]:
    return []


@pytest.fixture
def followed() -> list[tuple[str, Path]]:
    return []


@pytest.fixture
def local_workers(
    services: FakeServices, said: list[str], followed: list[tuple[str, Path]]
) -> LocalWorkers:
    return LocalWorkers(
        cast("Services", services),
        {"thumbs-service": "thumbs"},
        say=said.append,
        started=lambda queue, path: followed.append((queue, path)),
    )


def entry(level: str, message: str) -> str:
    return json.dumps({"level": level, "message": message}) + "\n"


def test_start_and_stop_of_a_worker_are_said_once_and_its_log_is_followed(
    local_workers: LocalWorkers,
    services: FakeServices,
    said: list[str],
    followed: list[tuple[str, Path]],
) -> None:
    services.starts()
    services.starts(service="somebody-else")
    local_workers.check()
    services.stops(StopCode.SCHEDULER)
    local_workers.check()
    local_workers.check()

    assert said == [
        "a worker for queue thumbs has started",
        "a worker for queue thumbs has stopped",
    ]
    assert followed == [("thumbs", services.log)]


def test_end_of_a_worker_is_reported_with_its_last_critical_line(
    local_workers: LocalWorkers, services: FakeServices, said: list[str], log: Path
) -> None:
    log.write_text(
        entry("CRITICAL", "an older one")
        + entry("CRITICAL", "cannot start:\nno module")
        + entry("INFO", "bye")
        + "[1]\n"
    )
    services.dies(1)

    local_workers.check()

    assert said == [
        "worker for queue thumbs ended with 1: cannot start: no module; see worker-1.log",
    ]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("Traceback:\nMemoryError: full\n\n", "MemoryError: full"),
        ('{"level": "DEBUG", "message": "run\\nbegins", "job": "01A"}\n', "run begins (job 01A)"),
        ("", "its log is empty"),
        (None, "its log is empty"),
    ],
)
def test_worker_without_a_critical_line_is_quoted_with_its_last(
    local_workers: LocalWorkers,
    services: FakeServices,
    said: list[str],
    log: Path,
    text: str | None,
    told: str,
) -> None:
    if text is not None:
        log.write_text(text)
    services.dies(137)

    local_workers.check()

    assert said == [f"worker for queue thumbs ended with 137: {told}; see worker-1.log"]


def test_worker_that_never_began_is_reported_with_the_reason(
    local_workers: LocalWorkers, services: FakeServices, said: list[str]
) -> None:
    services.dies(None, reason="CannotPullContainerError: no image")

    local_workers.check()

    assert said == ["no worker for queue thumbs starts: CannotPullContainerError: no image"]


@pytest.mark.parametrize(("code", "times"), [(1, 3), (2, 1)])
def test_ends_in_a_row_are_said_three_times_but_of_one_that_cannot_start_once(
    local_workers: LocalWorkers, services: FakeServices, said: list[str], code: int, times: int
) -> None:
    for number in range(1, 6):
        services.dies(code, in_a_row=number)

    local_workers.check()

    assert said[times:] == ["the jobs of queue thumbs wait until a change mends that"]


def test_error_of_the_caller_ends_the_check(
    local_workers: LocalWorkers, services: FakeServices, said: list[str]
) -> None:
    services.dies(1)

    with pytest.raises(RuntimeError, match="ended with 1"):
        local_workers.check(on_ended=_raise)

    assert said == []


def _raise(ended: Ended) -> None:
    raise RuntimeError(str(ended))


def test_reload_replaces_all_workers_and_says_nothing_of_their_ends(
    local_workers: LocalWorkers, services: FakeServices, said: list[str]
) -> None:
    between: Callable[[], None] = lambda: services.did.append("between")  # noqa: E731

    assert local_workers.reload(between) == 2
    services.stops(StopCode.USER)
    local_workers.check()

    assert services.did == [("hold", 5.0, 20.0), "between", "go"]
    assert said == []


@pytest.mark.parametrize(
    ("code", "in_a_row", "given_up"),
    [(2, 1, "yes"), (1, 1, "no"), (1, 2, "no"), (1, 3, "yes"), (137, 0, "no")],
)
def test_worker_is_given_up_at_once_when_it_cannot_start_and_else_the_third_time(
    log: Path, code: int, in_a_row: int, given_up: str
) -> None:
    ended = Ended(queue="thumbs", code=code, log=log, in_a_row=in_a_row)

    assert ended.hopeless is (given_up == "yes")


@pytest.mark.parametrize(
    ("code", "in_a_row", "exit_code"), [(2, 1, Exit.INVALID), (1, 3, Exit.TROUBLE)]
)
def test_giving_up_is_one_line_that_quotes_the_worker(
    log: Path, code: int, in_a_row: int, exit_code: Exit
) -> None:
    ended = Ended(queue="thumbs", code=code, log=log, in_a_row=in_a_row)

    with pytest.raises(RemoteJobError) as given_up:
        raise_if_hopeless(ended)

    assert explain(given_up.value)[0] == exit_code
    assert str(given_up.value).startswith(str(ended))
    assert "\n" not in str(given_up.value)


def test_worker_that_ended_once_is_not_given_up(log: Path) -> None:
    ended = Ended(queue="thumbs", code=-9, log=log, in_a_row=2)

    raise_if_hopeless(ended)

    assert not ended.hopeless
