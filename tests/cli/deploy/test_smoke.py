"""The job that shows that a deployment works, on a system in memory."""

from __future__ import annotations

import io
from collections.abc import Callable
from datetime import timedelta
from itertools import chain, repeat

import pytest

from remotejob import Job, RemoteJob
from remotejob.cli.deploy.smoke import Smoke, Smoked, Verdict
from remotejob.container import smoke as smoke_task
from remotejob.domain.errors import SettingsError
from remotejob.domain.times import from_ms
from remotejob.jobs.queries.why import Reason, Why
from remotejob.jobs.submission.uploads import Upload, ingest
from remotejob.names import SMOKE_PREFIX
from remotejob.ports import Area, Installation
from remotejob.settings import Settings, parse
from remotejob.testing import FakeClock, Simulation, memory_installation
from remotejob.worker.lifecycle.presence import report_failed_start

SETTINGS: Settings = parse(
    {"queues": {"default": {"tasks": ["work"]}, "video": {"tasks": ["transcode"]}}}
)
MINUTES = timedelta(minutes=15)


class Stage:
    """A deployed system whose time passes while the smoke waits."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.installation: Installation = memory_installation(
            clock, queues={"default": ("work",), "video": ("transcode",)}
        )
        self.said: list[str] = []
        self.ingests = True
        self.meanwhile: list[Callable[[], object]] = []
        """What happens at each wait."""

    def worker(self, queue: str) -> Simulation:
        simulation = Simulation(installation=self.installation, queue=queue)
        smoke_task.register(simulation.tasks)
        self.meanwhile.append(simulation.step)
        return simulation

    def run(self, *queues: str) -> list[Smoked]:
        smoke = Smoke(
            RemoteJob(self.installation),
            put=self._put,
            say=self.said.append,
            monotonic=lambda: self.clock.now_ms() / 1000,
            sleep=self._sleep,
            now=lambda: from_ms(self.clock.now_ms()),
        )
        return smoke.run(queues, timeout=MINUTES)

    def _sleep(self, seconds: float) -> None:
        self.clock.advance(timedelta(seconds=seconds))
        for happens in self.meanwhile:
            happens()

    def _put(self, bucket: str, key: str, content: bytes) -> None:
        files = self.installation.files
        assert bucket == files.bucket(Area.INPUT)
        files.put(Area.INPUT, key, io.BytesIO(content))
        upload = Upload(
            bucket=bucket,
            key=key,
            size=len(content),
            etag=None,
            version=None,
            sequencer="1",
            at_ms=self.clock.now_ms(),
        )
        if self.ingests:
            ingest(upload, SETTINGS, self.installation)


@pytest.fixture
def stage(clock: FakeClock) -> Stage:
    return Stage(clock)


def test_each_queue_runs_a_job_and_its_file_is_removed(stage: Stage) -> None:
    stage.worker("default")
    stage.worker("video")

    found = stage.run("default", "video")

    assert [(one.queue, one.verdict) for one in found] == [
        ("default", Verdict.PASSED),
        ("video", Verdict.PASSED),
    ]
    assert list(stage.installation.files.keys(Area.INPUT, SMOKE_PREFIX)) == []


def test_a_worker_that_cannot_start_ends_it_at_once_with_what_why_says(stage: Stage) -> None:
    problem = SettingsError("'tasks' cannot be imported")
    stage.meanwhile.append(
        lambda: report_failed_start(
            stage.installation, worker="w1", queue="default", problem=problem
        )
    )
    began_ms = stage.clock.now_ms()

    (found,) = stage.run("default")

    assert found.verdict is Verdict.FAILED
    assert "'tasks' cannot be imported" in found.text
    assert stage.clock.now_ms() - began_ms < 60_000


@pytest.mark.parametrize(
    ("answers", "verdict"),
    [
        ((Why.WAKING, Why.STARTING, Why.IMAGE_PULL), Verdict.FAILED),
        ((Why.WAKING, Why.STARTING, Why.NO_CAPACITY), Verdict.LATE),
        ((Why.IMAGE_PULL, Why.IMAGE_PULL, Why.IMAGE_PULL), Verdict.LATE),
    ],
)
def test_it_ends_at_once_where_waiting_mends_nothing(
    stage: Stage,
    monkeypatch: pytest.MonkeyPatch,
    answers: tuple[Why, ...],
    verdict: Verdict,
) -> None:
    """What is answered first may be about the deployment before."""
    coming = chain(answers, repeat(answers[-1]))
    monkeypatch.setattr(
        Job, "why", lambda _: Reason(code=next(coming), text="no worker", remedy="mend the image")
    )

    (found,) = stage.run("default")

    assert found.verdict is verdict
    assert found.text.endswith("no worker; mend the image")


def test_a_failed_start_of_the_deployment_before_is_no_verdict(stage: Stage) -> None:
    problem = SettingsError("'tasks' cannot be imported")
    report_failed_start(stage.installation, worker="w1", queue="default", problem=problem)
    stage.clock.advance(timedelta(minutes=1))
    late = stage.clock.now_ms() + 120_000
    worker = Simulation(installation=stage.installation)
    smoke_task.register(worker.tasks)
    stage.meanwhile.append(lambda: stage.clock.now_ms() > late and worker.step())

    (found,) = stage.run("default")

    assert found.verdict is Verdict.PASSED


def test_a_job_that_nobody_takes_is_late_with_the_reason(stage: Stage) -> None:
    (found,) = stage.run("default")

    assert found.verdict is Verdict.LATE
    assert "has not ended after 15 minutes: " in found.text
    assert len(stage.said) < 10, "said when it changes, not at each look"


def test_a_stopped_queue_is_not_tried_and_nothing_is_uploaded_for_it(stage: Stage) -> None:
    stage.worker("video")
    RemoteJob(stage.installation).queue("default").stop()

    found = {one.queue: one for one in stage.run("default", "video")}

    assert {queue: one.verdict for queue, one in found.items()} == {
        "default": Verdict.SKIPPED,
        "video": Verdict.PASSED,
    }
    assert "remotejob start default" in found["default"].text
    assert list(stage.installation.files.keys(Area.INPUT, f"{SMOKE_PREFIX}default/")) == []


def test_an_upload_without_a_job_is_late_and_names_what_to_look_at(stage: Stage) -> None:
    stage.ingests = False
    stage.worker("default")

    (found,) = stage.run("default")

    assert found.verdict is Verdict.LATE
    assert "look at the function's log" in found.text


def test_a_job_that_fails_says_its_error(stage: Stage) -> None:
    worker = Simulation(installation=stage.installation)

    @worker.tasks.task("remotejob-smoke")
    def broken(_: object) -> None:
        raise PermissionError("AccessDenied on PutObject")

    stage.meanwhile.append(worker.step)

    (found,) = stage.run("default")

    assert found.verdict is Verdict.FAILED
    assert "AccessDenied on PutObject" in found.text


def test_a_file_for_a_queue_that_there_is_not_makes_no_job() -> None:
    assert SETTINGS.route_for(f"{SMOKE_PREFIX}audio/1.txt") is None


@pytest.mark.parametrize(
    ("table", "refused"),
    [
        ({"tasks": ["remotejob-smoke"]}, "every worker runs it anyway"),
    ],
)
def test_the_tasks_name_is_reserved(table: dict[str, object], refused: str) -> None:
    with pytest.raises(SettingsError, match=refused):
        parse({"queues": {"default": table}})


def test_the_files_prefix_is_reserved() -> None:
    route = {"task": "work", "prefix": f"{SMOKE_PREFIX}mine/"}
    with pytest.raises(SettingsError, match="checks itself there"):
        parse({"queues": {"default": {"tasks": ["work"]}}, "routes": [route]})
