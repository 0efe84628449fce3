"""What a process without credentials finds around it, and what it can ask of the worker."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta

import pytest

from remotejob import Credentials, Queue, RemoteJob, State
from remotejob.names import Env
from remotejob.ports import Area, Installation
from remotejob.tasks import registry
from remotejob.testing import Simulation
from remotejob.worker.executors.executors import Executors
from remotejob.worker.executors.processes.environment import environment_for
from tests.worker.executors import work
from tests.worker.executors.conftest import Done
from tests.worker.executors.scenes import of_module

WAYS_TO_CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "AKIA",
    "AWS_SECRET_ACCESS_KEY": "secret",
    "AWS_SESSION_TOKEN": "token",
    "AWS_PROFILE": "admin",
    "AWS_SHARED_CREDENTIALS_FILE": "/home/me/credentials",
    "AWS_CONFIG_FILE": "/home/me/config",
    "AWS_WEB_IDENTITY_TOKEN_FILE": "/var/run/token",
    "AWS_ROLE_ARN": "arn:aws:iam::1:role/r",
    "AWS_CONTAINER_CREDENTIALS_RELATIVE_URI": "/v2/credentials/uuid",
    "AWS_CONTAINER_CREDENTIALS_FULL_URI": "http://169.254.170.23/v1",
    "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE": "/var/run/other",
    "AWS_ENDPOINT_URL": "http://127.0.0.1:4566",
    "ECS_CONTAINER_METADATA_URI_V4": "http://169.254.170.2/v4/x",
    Env.SYSTEM.value: "{}",
}

KEYS = {"AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN"}


def test_no_way_to_credentials_is_left_in_the_environment() -> None:
    kept = {"PATH": "/bin", "AWS_REGION": "eu-central-1", Env.TASKS.value: "tasks"}
    seen = environment_for(Credentials.NONE, {**kept, **WAYS_TO_CREDENTIALS})
    assert seen == {
        **kept,
        "AWS_SHARED_CREDENTIALS_FILE": os.devnull,
        "AWS_CONFIG_FILE": os.devnull,
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def test_inherited_credentials_are_all_there() -> None:
    given = {"PATH": "/bin", **WAYS_TO_CREDENTIALS}
    assert environment_for(Credentials.INHERITED, given) == given


def test_a_supervisors_word_to_its_child_is_not_handed_on() -> None:
    assert environment_for(Credentials.INHERITED, {Env.CHILD.value: "1:7"}) == {}


def test_the_queues_secrets_are_credentials_too() -> None:
    given = {"DB_PASSWORD": "s3cret", "OCR_KEY": "k3y", "OCR_LANGUAGE": "deu"}
    given[Env.SECRETS.value] = "DB_PASSWORD,OCR_KEY"

    assert environment_for(Credentials.INHERITED, given) == given
    seen = environment_for(Credentials.NONE, given)
    assert seen["OCR_LANGUAGE"] == "deu"
    assert not {"DB_PASSWORD", "OCR_KEY"} & set(seen)


def test_a_process_without_credentials_finds_none(
    monkeypatch: pytest.MonkeyPatch, installation: Installation
) -> None:
    given = {name: value for name, value in WAYS_TO_CREDENTIALS.items() if name in KEYS}
    for name, value in given.items():
        monkeypatch.setenv(name, value)
    executors = Executors(of_module(work).values())
    worker = Simulation(installation=installation, tasks=registry, call=executors.run)
    try:
        queue = RemoteJob(installation).queue()
        jobs = [
            queue.submit(task, data={"do": "look_around"}) for task in ("own-process", "stranger")
        ]
        worker.step()
    finally:
        executors.close(within=timedelta(seconds=10))
    with_all, without = (job.refresh().result for job in jobs)
    assert with_all["credentials"] == "AKIA"
    assert set(with_all["environment"]) >= KEYS
    assert without["credentials"] is None
    assert not KEYS & set(without["environment"])


def test_the_workers_environment_is_hidden_from_other_processes() -> None:
    # in a process of its own: what is hidden stays so, and the tests' is not to be
    script = """
import ctypes, os
from remotejob.worker.executors.processes.environment import hide_this_process

def look():
    pid = os.fork()
    if not pid:
        try:
            open(f"/proc/{os.getppid()}/environ").read()
        except PermissionError:
            os._exit(1)
        os._exit(0)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])

if os.getuid() == 0:  # which may look at all processes
    os.setgid(65534)
    os.setuid(65534)
    ctypes.CDLL(None).prctl(4, 1, 0, 0, 0)
print(look())
hide_this_process()
print(look())
"""
    seen = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, check=True, text=True
    )
    assert seen.stdout.split() == ["0", "1"]


def test_a_process_reaches_the_files_of_its_own_job_alone(
    done: Done, queue: Queue, installation: Installation
) -> None:
    other = queue.submit("own-process", body=b"secret", filename="secret.txt", data={"do": "pid"})
    assert other.input is not None
    job = done("reach", bucket=other.input.bucket, key=other.input.key)
    assert job.state is State.COMPLETED, job.errors
    assert job.result == ["PermissionError", "PermissionError", "InvalidBody", "PermissionError"]
    assert list(installation.files.keys(Area.OUTPUT, "")) == []
