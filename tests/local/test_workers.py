"""Workers start as the deployed task definition says, with the credentials of their task role."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import ControlError
from remotejob.local.workers import Worker
from tests.local.helpers import SAMPLE, physical

Received = Callable[..., list[dict[str, Any]]]


@pytest.fixture
def worker(aws: EmbeddedAws) -> Iterator[Worker]:
    started = aws.start_worker(directory=SAMPLE / "worker", environment={"EXTRA": "1"})
    yield started
    started.kill()
    started.wait()


def hello(results: Received, worker: Worker) -> dict[str, Any]:
    [said] = results(lambda body: body.get("worker") == worker.pid)
    return said


def test_worker_runs_the_command_with_the_environment_of_its_task_definition(
    aws: EmbeddedAws,
    worker: Worker,
    results: Received,
) -> None:
    environment = hello(results, worker)["environment"]
    assert environment["RESULTS_URL"] == physical(aws, "SQS::Queue", "Storage/Results")
    assert environment["EXTRA"] == "1"
    assert environment["AWS_REGION"] == aws.region
    assert "AWS_ACCESS_KEY_ID" not in environment


def test_worker_has_the_task_role_through_the_credentials_address(
    aws: EmbeddedAws, worker: Worker, results: Received
) -> None:
    said = hello(results, worker)
    role = aws.deployment.one("AWS::IAM::Role", "Workers/Task/TaskRole").physical_id
    assert f":assumed-role/{role}/" in said["who"]
    assert said["environment"]["AWS_CONTAINER_CREDENTIALS_FULL_URI"].startswith(aws.endpoint_url)


def test_callers_environment_does_not_reach_the_worker(
    aws: EmbeddedAws, results: Received, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_PROFILE", "production")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "real")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.invalid")
    worker = aws.start_worker(directory=SAMPLE / "worker")
    try:
        environment = hello(results, worker)["environment"]
    finally:
        worker.kill()
    assert not {"AWS_PROFILE", "AWS_ACCESS_KEY_ID", "HTTP_PROXY"} & set(environment)
    # nothing that a job could write configures the worker or the programs it starts
    assert not Path(environment["HOME"]).exists()
    with pytest.raises(NotADirectoryError):
        Path(environment["HOME"]).mkdir(parents=True)
    assert environment["AWS_CONFIG_FILE"] == os.devnull
    assert environment["AWS_SHARED_CREDENTIALS_FILE"] == os.devnull


def test_terminated_worker_drains_and_gives_its_exit_code(
    worker: Worker, results: Received
) -> None:
    hello(results, worker)
    assert worker.poll() is None
    worker.terminate()
    assert worker.wait(10) == 3
    assert worker.log.read_text().split() == ["ready", "drained"]


def test_killed_worker_is_gone(worker: Worker, results: Received) -> None:
    hello(results, worker)
    worker.kill()
    assert worker.wait(10) == -9
    worker.kill()  # a second time does nothing


def test_waiting_for_a_worker_that_runs_times_out(worker: Worker, results: Received) -> None:
    hello(results, worker)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.1)


def test_command_that_does_not_exist_says_so(aws: EmbeddedAws) -> None:
    from dataclasses import replace

    from remotejob.local import workers

    [task] = workers.tasks(aws.deployment, aws.client)
    with pytest.raises(ControlError, match="does not start"):
        workers.start(
            replace(task, command=("/nowhere/at/all",)),
            control=aws._control,
            region=aws.region,
            state=aws.state,
        )


def test_properties_of_the_task_definition_are_kept(aws: EmbeddedAws) -> None:
    arn = aws.deployment.one("AWS::ECS::TaskDefinition").physical_id
    described = aws.client("ecs").describe_task_definition(taskDefinition=arn)["taskDefinition"]
    assert described["requiresCompatibilities"] == ["FARGATE"]
    assert (described["cpu"], described["memory"]) == ("256", "512")
    assert described["containerDefinitions"][0]["dockerLabels"] == {"Owner": "sample"}
    assert json.dumps(described, default=str)
