"""The levels of permission are those of job-collection, and so is what each may do."""

from __future__ import annotations

import pytest

from remotejob.cdk.commands import COMMANDS, Group


def test_there_are_the_same_four_permission_levels() -> None:
    assert set(Group) == {"admin", "manager", "creator", "worker"}


@pytest.mark.parametrize(
    ("level", "commands"),
    [
        (
            "manager",
            "RemoteJob.remove_jobs RemoteJob.pause_jobs RemoteJob.resume_jobs RemoteJob.cancel_jobs"
            " RemoteJob.make_jobs_ready RemoteJob.restart_jobs Job.remove Job.pause Job.resume"
            " Job.cancel Job.make_ready Job.restart",
        ),
        ("creator", "Queue.submit Job.rerun"),
        (
            "worker",
            "Queue.get_work Queue.process_jobs TakenJob.log TakenJob.progress TakenJob.done"
            " TakenJob.fail",
        ),
    ],
)
def test_each_method_is_for_the_level_it_was_for_and_for_admins(level: str, commands: str) -> None:
    for command in commands.split():
        assert COMMANDS[command].groups == {Group.ADMIN, Group(level)}, command
