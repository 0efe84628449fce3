"""`remotejob local` runs what is saved: the next job has it, and no job is lost meanwhile."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest

from remotejob import Job, RemoteJob, State
from tests.end_to_end.local_session import SETTINGS, local_session
from tests.end_to_end.waiting import PATIENCE, until

JOBS = 50
SECOND = '\n[queues.second]\ntasks = ["work"]\ntasks_module = "tasks"\n'


def version(name: str) -> str:
    return f'VERSION = "{name}"\n'


def results(jobs: list[Job]) -> Counter[str]:
    return Counter(job.wait(PATIENCE).result for job in jobs)


@pytest.mark.exhaustive
def test_edit_while_jobs_run_then_a_broken_import_then_its_correction(tmp_path: Path) -> None:
    with local_session(tmp_path / "my scans") as session, session.connected() as system:
        queue = system.queue()
        jobs = [queue.submit("work") for _ in range(JOBS)]
        until(lambda: jobs[0].refresh().ended, what="the end of the first job")

        session.save("tasks/version.py", version("two"))
        session.until_said("reloaded tasks/version.py: 1 worker restarted")
        jobs.append(queue.submit("work"))
        found = results(jobs)
        later = results([queue.submit("work")])

        # the same content, and a file that is none of the project's modules
        session.save("tasks/version.py", version("two"))
        session.save("notes.txt", "buy paper")
        session.save("tasks/version.py", "import no_such_module\n")
        session.until_said("'tasks' cannot be imported (tasks/version.py:1: No module named")
        session.until_said("the jobs of queue default wait until a change mends that")
        waiting = queue.submit("work", data="fail")
        session.save("tasks/version.py", version("three"))
        failed = waiting.wait(PATIENCE)
        session.until_said(f"{failed.id[-6:]}  work failed in 0.0 s: ValueError: no text")
        fixed = results([queue.submit("work")])
        session.until_said("printed by version three", times=2)
        code = session.interrupt()

    assert found.keys() == {"one", "two"}
    assert found.total() == JOBS + 1
    assert later == {"two": 1}
    assert all((job.errors, job.crashes) == ((), 0) for job in jobs)
    assert failed.state is State.FAILED
    assert fixed == {"three": 1}
    assert code == 130
    window = session.window
    assert window.count("reloaded ") == 3
    for job in jobs:
        assert f"{job.id[-6:]}  work completed in " in window
    short = failed.id[-6:]
    said = [line.partition("  ")[2] for line in window.splitlines() if line.startswith(short)]
    assert said == [
        f"work begins: job {failed.id}",
        "| printed by version three",
        "| logged",
        "| kept with the job",
        "work failed in 0.0 s: ValueError: no text",
    ]


@pytest.mark.exhaustive
def test_changed_settings_are_deployed_in_place_and_refused_ones_are_not(tmp_path: Path) -> None:
    with local_session(tmp_path / "my scans", "--quiet") as session:
        with session.connected() as system:
            old = system.queue().submit("work").wait(PATIENCE)
        session.save("remotejob.toml", SETTINGS.replace('"default"', "default", 1))
        session.until_said("remotejob.toml: not TOML: ")
        session.until_said("what was deployed goes on, and your next save is tried")
        # another save of the same text changes nothing
        session.save("remotejob.toml", SETTINGS.replace('"default"', "default", 1))
        session.save("remotejob.toml", SETTINGS + SECOND)
        session.until_said("updated the stacks; starting 1 worker for queue default, 1 worker for")

        # the same port, keys and names: nobody has to connect again
        with session.connected() as system:
            assert system.job(old.id).result == "one"
            assert results([_submitted(system, "default"), _submitted(system, "second")]) == {
                "one": 2
            }
        session.save("remotejob.toml", SETTINGS)
        session.until_said("updated the stacks; starting 1 worker for queue default\n")
        # the notice of its completed job has no queue any more
        session.until_said("kept aside, because the stacks no longer have a place for them")
        code = session.interrupt()

    assert code == 130
    assert " begins: job " not in session.window
    assert "printed by version" not in session.window


def _submitted(system: RemoteJob, queue: str) -> Job:
    return system.queue(queue).submit("work")
