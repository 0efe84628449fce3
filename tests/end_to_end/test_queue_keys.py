"""What a task needs besides its job: variables, secrets and permissions, as the settings say."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from remotejob import Queue, State
from remotejob.local.embedded import EmbeddedAws
from remotejob.local.errors import SecretNotRead
from remotejob.local.workers import Worker
from tests.deployed import ASSEMBLIES
from tests.end_to_end.commands import remotejob_here
from tests.end_to_end.conftest import SECRETS
from tests.end_to_end.waiting import PATIENCE

EXPECTED = {
    name: hashlib.sha256(value.encode()).hexdigest()
    for name, value in {**SECRETS, "OCR_LANGUAGE": "deu+eng"}.items()
}


def files_with(texts: Iterable[str], *folders: Path) -> set[str]:
    """Those of the texts that stand in a file of the folders."""
    contents = [p.read_bytes() for folder in folders for p in folder.rglob("*") if p.is_file()]
    return {text for text in texts if any(text.encode() in content for content in contents)}


@pytest.mark.exhaustive
def test_tasks_have_their_variables_and_secrets_and_nothing_else_shows_them(
    aws: EmbeddedAws, queue: Queue, worker: Worker
) -> None:
    for task in ("needs", "needs_apart"):
        job = queue.submit(task, data=list(EXPECTED))
        job.wait(PATIENCE)
        assert job.state is State.COMPLETED, job.errors
        assert job.result == EXPECTED

    said = [
        done.stdout + done.stderr
        for done in (
            remotejob_here(aws, "workers", "--json"),
            remotejob_here(aws, "show", job.id, "--json"),
            remotejob_here(aws, "doctor"),
        )
    ]
    assert all(said)
    assert not [text for text in said for value in SECRETS.values() if value in text]
    # the names are found where the values would be
    found = files_with([*SECRETS, *SECRETS.values()], aws.state, ASSEMBLIES)
    assert found == set(SECRETS)


@pytest.mark.refused_by_policy
def test_a_task_may_do_what_its_queue_permits_and_no_more(
    aws: EmbeddedAws, queue: Queue, worker: Worker
) -> None:
    for name in ("/models/deu", "/other/deu"):
        aws.client("ssm").put_parameter(Name=name, Value="v7", Type="String", Overwrite=True)

    permitted = queue.submit("needs", data="/models/deu")
    # the agent may read the secret, the task may not
    refused = [queue.submit("needs", data=name) for name in ("/other/deu", "/scans/ocr-key")]
    for job in (permitted, *refused):
        job.wait(PATIENCE)

    assert permitted.result == {"/models/deu": "v7"}
    for job in refused:
        (error,) = job.errors
        assert "not authorized to perform: ssm:GetParameter on resource" in error.message


@contextmanager
def without_policy(aws: EmbeddedAws) -> Iterator[None]:
    """The agent's role has lost its permissions."""
    iam = aws.client("iam")
    role = aws.deployment.one("AWS::IAM::Role", "AgentRole").physical_id
    (policy,) = iam.list_role_policies(RoleName=role)["PolicyNames"]
    document = iam.get_role_policy(RoleName=role, PolicyName=policy)["PolicyDocument"]
    iam.delete_role_policy(RoleName=role, PolicyName=policy)
    try:
        yield
    finally:
        iam.put_role_policy(RoleName=role, PolicyName=policy, PolicyDocument=json.dumps(document))


@pytest.mark.refused_by_policy
def test_without_the_statement_no_worker_starts_as_in_aws(aws: EmbeddedAws) -> None:
    with without_policy(aws), pytest.raises(SecretNotRead) as refused:
        aws.start_worker()

    message = str(refused.value)
    assert message.startswith("OCR_KEY: ECS would start no worker, because it cannot read arn:")
    assert "is not authorized to perform: ssm:GetParameters on resource" in message
    assert "\n" not in message
