"""Workers start when there is work and stop when there is none, by the scheduler alone."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remotejob import RemoteJob, State
from remotejob.client.remote_job import NAME_VARIABLE
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.services import Counts
from remotejob.names import WorkersKey, workers_parameter
from tests.deployed import connected, deployed
from tests.end_to_end.local_session import local_session
from tests.end_to_end.waiting import until

SETTINGS = Path(__file__).with_name("scaling.toml")
PATIENCE_S = 120.0
LOOK = {"do": "tick"}
pytestmark = pytest.mark.exhaustive


@pytest.fixture
def aws() -> Iterator[EmbeddedAws]:
    with deployed(SETTINGS, counts=Counts.OBEYED) as embedded:
        yield embedded


@pytest.fixture
def system(aws: EmbeddedAws) -> RemoteJob:
    with connected({**aws.environment(), NAME_VARIABLE: "scaled"}) as found:
        return found


class Service:
    """The service of the system's queue."""

    def __init__(self, aws: EmbeddedAws) -> None:
        self._ecs = aws.client("ecs")
        arn = aws.deployment.one("AWS::ECS::Service").physical_id
        self._place = {"cluster": arn.split("/")[-2], "service": arn.split("/")[-1]}

    def desire(self, count: int) -> None:
        self._ecs.update_service(**self._place, desiredCount=count)

    def counts(self) -> tuple[int, int]:
        """Desired and running."""
        [found] = self._ecs.describe_services(
            cluster=self._place["cluster"], services=[self._place["service"]]
        )["services"]
        return found["desiredCount"], found["runningCount"]


def wait_little(aws: EmbeddedAws) -> None:
    """Let the last worker be idle for a tenth of a second, where a setting has whole minutes."""
    ssm, name = aws.client("ssm"), workers_parameter("scaled", "default")
    described: dict[str, Any] = json.loads(ssm.get_parameter(Name=name)["Parameter"]["Value"])
    described[WorkersKey.IDLE_MINUTES] = 1 / 600
    ssm.put_parameter(Name=name, Value=json.dumps(described), Type="String", Overwrite=True)


def test_upload_wakes_a_worker_and_idleness_stops_it(aws: EmbeddedAws, system: RemoteJob) -> None:
    service = Service(aws)
    service.desire(0)
    wait_little(aws)
    aws.services.go()
    assert service.counts() == (0, 0)

    aws.client("s3").put_object(Bucket=system.input_bucket, Key="in/one.txt", Body=b"one")
    until(lambda: service.counts() == (1, 1), what="a worker", patience=PATIENCE_S)
    until(
        lambda: [job.state for job in system.jobs()] == [State.COMPLETED],
        what="the job's end",
        patience=PATIENCE_S,
    )

    def stopped() -> bool:
        # each tick looks once; between two, nothing is needed for most of a minute
        aws.invoke("Scheduler", LOOK)
        return service.counts() == (0, 0)

    until(stopped, what="no worker", patience=PATIENCE_S)
    until(lambda: not aws.services.changes()[-1].has_started, what="its end", patience=PATIENCE_S)
    last = aws.services.changes()[-1]
    assert (last.has_started, last.by_itself, last.exit_code) == (False, False, 0)


def test_local_begins_without_workers_and_starts_one_for_a_job(tmp_path: Path) -> None:
    with local_session(tmp_path / "project", "--workers", "0") as session:
        assert "each with a worker once it has a job: default" in session.window
        assert "has started" not in session.window
        with session.connected() as system:
            job = system.queue().submit("work")
            assert job.wait(PATIENCE_S).state is State.COMPLETED
        session.until_said("a worker for queue default has started")
        assert session.interrupt() == 130
