"""The programs of the ancestors' READMEs run."""

from __future__ import annotations

import json
import runpy
import threading
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from remotejob import InvalidData, Queue, RemoteJob, State
from remotejob.builtin import Fetch
from remotejob.domain.urgency import Urgency
from remotejob.jobs.scheduler.tick import tick
from remotejob.ports import Installation
from remotejob.testing import FakeClock
from tests.builtin.conftest import Page, Site, site  # noqa: F401  (a fixture)
from tests.heritage.test_job_collection import now, real_time
from tests.systems import BACKENDS, installation_on

EXAMPLES = Path(__file__).parents[2] / "examples" / "ancestors"


def example(name: str) -> dict[str, Any]:
    return runpy.run_path(str(EXAMPLES / f"{name}.py"))


@pytest.mark.parametrize("name", ["send_emails", "synopsis", "ping"])
def test_it_runs_as_its_first_lines_say(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    runpy.run_path(str(EXAMPLES / f"{name}.py"), run_name="__main__")

    said = capsys.readouterr().out
    assert {
        "send_emails": "is completed: {'sent': 'bozo@clowns.example'}",
        "synopsis": "job submitted\nDERP\nresult: DERP\n",
        "ping": "{'ack': 'PONG'}",
    }[name] in said


@pytest.fixture(params=BACKENDS)
def emails(request: pytest.FixtureRequest, clock: FakeClock) -> Iterator[Installation]:
    queues = {"default": ("send_email",)}
    with installation_on(request.param, clock, queues=queues) as made:
        yield made


def test_email_waits_an_hour_and_is_tried_again_after_a_quarter(
    emails: Installation, clock: FakeClock
) -> None:
    queue, program = RemoteJob(emails).queue(), example("send_emails")
    job, tried = program["create"](queue), threading.Event()
    assert job.due_at == now(clock) + timedelta(hours=1)
    clock.advance(timedelta(hours=1))
    tick(emails)

    def send(email: dict[str, str]) -> None:
        tried.set()
        raise ConnectionError("no mail today")

    processor = program["work"](queue, send)
    assert tried.wait(60)
    processor.shutdown(Urgency.SOFT)

    assert job.refresh().state is State.WAITING
    assert job.due_at == now(clock) + timedelta(minutes=15)
    assert job.errors[-1].message == "no mail today"
    assert [line.message for line in job.logs()] == [
        "sending to bozo@clowns.example",
        "sending failed: no mail today",
    ]
    assert job.progress == (0, 1)


def test_emails_in_lists_succeed_and_fail_by_themselves() -> None:
    program = example("send_emails")
    queue: Queue = real_time(task="send_email")
    jobs = [queue.submit("send_email", data={"address": name}) for name in ("a", "no", "b")]

    def send(email: dict[str, str]) -> None:
        if email["address"] == "no":
            raise ConnectionError("no such address")

    processor = program["work_in_lists"](queue, send)
    for job in jobs:
        job.wait(60)
    processor.shutdown()

    assert [job.state for job in jobs] == [State.COMPLETED, State.FAILED, State.COMPLETED]


def test_each_ping_that_is_answered_brings_the_next() -> None:
    jobs = example("ping")["run_here"](rounds=4)

    assert [job.result for job in jobs] == [{"ack": "PONG"}] * 4
    assert sorted(str(job.data) for job in jobs) == ["{'cat': 'dog'}"] * 3 + ["{'foo': 'bar'}"]


def test_a_failure_is_reported_where_errors_were(capsys: pytest.CaptureFixture[str]) -> None:
    program = example("synopsis")
    job = program["run_here"]("derp")
    assert (job.resource, job.result) == ("resource_id", "DERP")

    failing = program["run_here"](None)
    assert failing.state is State.FAILED
    assert f"job {failing.id} failed:" in capsys.readouterr().out

    with pytest.raises(InvalidData):
        program["run_here"](object())
    assert "job queue error: " in capsys.readouterr().out


def test_a_crawl_follows_every_link_once_and_stays_on_the_site(site: Site) -> None:  # noqa: F811
    pages = {"/": ["/a", "/b", "http://elsewhere.example/"], "/a": ["/", "/b#part"], "/b": ["/a"]}
    site.pages = {path: Page(body=links_to(pages[path])) for path in pages}
    options = Fetch(allow=("127.0.0.1",), ports=(site.port,))

    jobs = example("crawl")["run_here"](site.url("/"), fetch=options)

    assert sorted(job.data["origin"] for job in jobs) == sorted(site.url(path) for path in pages)
    assert {job.state for job in jobs} == {State.COMPLETED}


def links_to(targets: list[str]) -> bytes:
    return "".join(f"<a href={json.dumps(target)}>x</a>" for target in targets).encode()
