"""Each command under the credentials of each group: allowed, or refused in words."""

from __future__ import annotations

import inspect
import logging
import re

import pytest

from remotejob import AccessProblem, Job, Output, Queue, RemoteJob
from remotejob.cdk.commands import COMMANDS, Group
from remotejob.client.batch import Batch
from remotejob.client.notices import Notice
from remotejob.jobs.submission.stored_files import StoredFile
from remotejob.local.embedded import EmbeddedAws
from remotejob.manual.taken_job import TakenJob
from tests.permissions.conftest import NewPerson, Person
from tests.permissions.scenes import SCENES, Act
from tests.sampling import some

CLASSES = {
    one.__name__: one
    for one in (RemoteJob, Queue, Job, Batch, Output, StoredFile, Notice, TakenJob)
}
CASES = some([(command, name) for command, scenes in SCENES.items() for name in scenes], every=2)


@pytest.mark.parametrize(("command", "name"), CASES)
def test_a_command_is_for_its_groups_and_refused_to_the_others(
    command: str,
    name: str,
    people: dict[Group, Person],
    aws: EmbeddedAws,
    caplog: pytest.LogCaptureFixture,
) -> None:
    groups = COMMANDS[command].groups
    act = _prepared(command, name, people, aws)
    for group in set(Group) - groups:
        with pytest.raises(AccessProblem) as problem:
            act(people[group])
        said = str(problem.value)
        assert re.search(r"does not allow these credentials (dynamodb|s3|sqs):[A-Z]\w+ ", said)
        assert "docs/permissions.md" in said

    # what was refused has changed nothing that the first of those who may would miss
    for number, group in enumerate(sorted(groups, reverse=True)):
        if number:
            act = _prepared(command, name, people, aws)
        caplog.clear()
        act(people[group])
        complaints = [one for one in caplog.records if one.levelno >= logging.ERROR]
        assert not complaints
        assert "does not allow" not in caplog.text


def test_every_public_method_is_in_the_table() -> None:
    methods = {
        f"{name}.{method}"
        for name, one in CLASSES.items()
        for method, _ in inspect.getmembers(one, inspect.isroutine)
        if not method.startswith("_")
    }

    assert methods - {_method(row) for row in COMMANDS} == set()


def test_every_row_is_a_command_and_has_a_scene() -> None:
    for row in COMMANDS:
        name, _, method = _method(row).partition(".")
        assert hasattr(CLASSES[name], method), row
    assert set(SCENES) == set(COMMANDS)


def test_somebody_of_two_groups_may_give_the_commands_of_both(
    new_person: NewPerson, admin: Person, aws: EmbeddedAws
) -> None:
    both = new_person(Group.MANAGER, Group.CREATOR)
    _empty_queues(aws)

    SCENES["Queue.submit(cancel_repeats)"][""](admin)(both)

    SCENES["Job.cancel"]["running"](admin)(both)
    with pytest.raises(AccessProblem):
        SCENES["Queue.get_work"][""](admin)(both)


def test_somebody_of_no_group_does_not_even_find_the_system(new_person: NewPerson) -> None:
    with pytest.raises(AccessProblem):
        new_person()


def _prepared(command: str, name: str, people: dict[Group, Person], aws: EmbeddedAws) -> Act:
    _empty_queues(aws)
    _put_letters(aws)
    return SCENES[command][name](people[Group.ADMIN])


def _method(row: str) -> str:
    return row.partition("(")[0]


def _empty_queues(aws: EmbeddedAws) -> None:
    sqs = aws.client("sqs")
    for queue in aws.deployment.all("AWS::SQS::Queue"):
        sqs.purge_queue(QueueUrl=queue.physical_id)


def _put_letters(aws: EmbeddedAws) -> None:
    """Of a status message and of an upload: no group may send there."""
    for name in ("default/CompletedDeadLetter", "Uploads/DeadLetter", "Uploads/Undelivered"):
        letters = aws.deployment.one("AWS::SQS::Queue", name).physical_id
        aws.client("sqs").send_message(QueueUrl=letters, MessageBody="{}")
