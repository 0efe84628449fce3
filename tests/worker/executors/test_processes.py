"""Tasks in processes of their own: what they do, and how they end."""

from __future__ import annotations

import hashlib
import os
import signal
import threading
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from remotejob import InputFile, Job, Queue, RemoteJob, Retry, State, Submission
from remotejob.client.hooks import Hooks, JobEvent
from remotejob.domain.chain import Link, within
from remotejob.domain.events import Event
from remotejob.ports import Area, Installation
from remotejob.tasks import registry
from remotejob.testing import FakeClock, Simulation
from remotejob.worker.executors.executors import Executors
from remotejob.worker.executors.processes import child_process
from tests.boundaries.forging import forged, input_named
from tests.end_to_end.waiting import until
from tests.progress import reported
from tests.worker.executors.conftest import Done
from tests.worker.executors.scenes import lives, until_gone


def failure(job: Job) -> tuple[str, str]:
    assert job.state is State.FAILED
    return job.errors[-1].kind, job.errors[-1].message


def test_a_process_is_kept_for_the_next_job_and_is_not_the_workers(done: Done) -> None:
    pids = {done("pid").result for _ in range(3)}
    assert len(pids) == 1
    assert pids != {os.getpid()}


def test_a_process_that_dies_at_rest_costs_no_job_an_attempt(done: Done) -> None:
    pid = done("pid").result
    os.kill(pid, signal.SIGKILL)
    until_gone([pid])
    until(lambda: f"child-{pid}" not in _threads(), what="the worker's notice of it")
    job = done("pid")
    assert job.state is State.COMPLETED
    assert job.result != pid


@pytest.mark.parametrize("name", ["../../evil", "/proc/evil", "C:evil", "CON"])
def test_a_process_downloads_into_the_runs_folder_whatever_the_record_says(
    installation: Installation, worker: Simulation, name: str
) -> None:
    forged(
        installation,
        send=True,
        task="own-process",
        data_json='{"do":"place"}',
        input_json=input_named(name, installation),
    )
    worker.step()

    (job,) = RemoteJob(installation).jobs(state=State.COMPLETED)
    path, folder = job.result
    assert Path(path).parent == Path(folder)


def test_a_process_reads_no_other_bucket(installation: Installation, worker: Simulation) -> None:
    text = input_named("a", installation, bucket="somebody-elses")
    forged(installation, send=True, task="own-process", data_json='{"do":"place"}', input_json=text)
    worker.step()

    (job,) = RemoteJob(installation).jobs()
    kind, message = failure(job)
    assert kind == "FileUnreadable"
    assert "readable_buckets" in message


def test_tasks_that_ask_for_other_options_run_in_other_processes(done: Done) -> None:
    assert done("pid").result != done("pid", task="limited").result


def test_a_process_is_replaced_after_its_last_job(done: Done) -> None:
    pids = [done("", task="worn").result for _ in range(6)]
    # an earlier test may have used the first up by half
    runs = [pids.count(pid) for pid in dict.fromkeys(pids)]
    assert runs in ([2, 2, 2], [1, 2, 2, 1])
    until_gone(pids[:1])


def test_a_process_that_is_replaced_and_does_not_end_is_killed(
    done: Done, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(child_process, "_LONGEST_END", 0.1)
    until_gone([done("", task="worn-out").result])


@pytest.mark.parametrize(
    ("do", "data", "said"),
    [
        ("segfault", {}, "the process of the task ended with signal 11 (SIGSEGV)"),
        ("exit", {"status": 3}, "the process of the task ended with exit status 3"),
        ("exit", {"status": 0}, "the process of the task ended with exit status 0"),
        (
            "die",
            {},
            "the process of the task ended with signal 9 (SIGKILL), which the kernel sends when "
            "memory runs out",
        ),
    ],
)
def test_a_process_that_ends_fails_its_attempt_and_says_how(
    done: Done, do: str, data: dict[str, int], said: str
) -> None:
    before = done("pid").result
    assert failure(done(do, **data)) == ("ProcessDied", said)
    assert done("pid").result not in (before, os.getpid())


def test_a_process_that_ends_is_a_failed_attempt_under_the_retry_policy(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("own-process", data={"do": "die_twice"}, retry=Retry(max_attempts=3))
    for _ in range(3):
        worker.step()
        clock.advance(timedelta(minutes=5))
    assert job.refresh().state is State.COMPLETED
    assert job.result == 3
    assert [(one.kind, one.attempt) for one in job.errors] == [
        ("ProcessDied", 1),
        ("ProcessDied", 2),
    ]
    assert job.record.crashes == 0, "the worker lives"


def test_memory_beyond_the_limit_fails_the_attempt_and_names_the_limit(done: Done) -> None:
    assert failure(done("fill_memory", task="limited")) == (
        "MemoryError",
        "(its limit is memory_mib=192)",
    )
    assert done("fill_memory").result == 256 * 1024**2, "without a limit there is room"


def test_a_crash_under_a_limit_names_the_limit(done: Done) -> None:
    kind, message = failure(done("segfault", task="limited"))
    assert kind == "ProcessDied"
    assert message.endswith("ended with signal 11 (SIGSEGV); its limit is memory_mib=192")


def test_errors_of_the_task_arrive_by_name_with_their_traceback(
    queue: Queue, worker: Simulation
) -> None:
    job = queue.submit(
        "own-process", data={"do": "raise", "what": "unlucky"}, retry=Retry(max_attempts=2)
    )
    worker.step()
    assert job.refresh().state is State.WAITING
    told = job.errors[-1]
    assert (told.kind, told.message) == ("Unlucky", "no luck")
    trace = job.tracebacks()[-1]
    assert "in do_raise" in trace
    assert trace.rstrip().endswith("tests.worker.executors.work.Unlucky: no luck")


def test_fatal_errors_stay_fatal(queue: Queue, worker: Simulation) -> None:
    job = queue.submit(
        "own-process", data={"do": "raise", "what": "fatal"}, retry=Retry(max_attempts=2)
    )
    worker.step()
    assert failure(job.refresh()) == ("Fatal", "no luck")


def test_a_result_that_json_cannot_write_fails_the_run_as_in_a_thread(done: Done) -> None:
    kind, message = failure(done("unprintable"))
    assert kind == "InvalidData"
    assert message.startswith("the result cannot be written as JSON")


def test_a_completion_says_more_than_the_result(done: Done) -> None:
    job = done("completion")
    assert job.result == {"well": True}
    assert job.record.delay_dependents_ms == 300_000


def test_words_with_progress_reach_hooks_and_the_log_once(
    queue: Queue, installation: Installation, executors: Executors
) -> None:
    hooks, told = Hooks(), list[JobEvent]()
    hooks.on(Event.PROGRESS, told.append)
    worker = Simulation(
        installation=replace(installation, hooks=hooks), tasks=registry, call=executors.run
    )
    job = queue.submit("own-process", data={"do": "words"})
    worker.step()

    assert [(one.progress, one.message) for one in told] == [((0.25, 1), "a quarter")]
    assert [line.message for line in job.refresh().logs()] == ["a quarter"]


def test_progress_and_log_arrive_and_the_job_is_seen_as_in_a_thread(done: Done) -> None:
    job = done("report", text="äö€" * 500)
    assert reported(job) == (1.0, 4.0)
    (line,) = job.logs()
    assert (line.level, line.message, line.data) == ("success", "under way", {"step": 1})
    expected = [job.id, job.record.run_id, 1, "own-process", "default", None, False, True, True]
    assert job.result == [*expected, "äö"]


def test_long_data_is_read_through_the_worker(done: Done) -> None:
    job = done("report", text="ab" * 100_000)
    assert job.record.data_ref is not None
    assert job.result[-1] == "ab"


def test_errors_of_the_library_are_of_their_classes_in_the_process(done: Done) -> None:
    job = done("library_errors")
    assert job.result == ["NoInput", "NoInput", "InvalidName", *["InvalidData"] * 3]
    assert not job.outputs


def test_some_megabytes_go_in_and_out(done: Done) -> None:
    content = bytes(range(256)) * 20_000 + b"the end"
    job = done("copy", body=content)
    assert job.state is State.COMPLETED, job.errors
    assert job.result == {"size": len(content), "sha256": hashlib.sha256(content).hexdigest()}
    outputs = {name: output.open().read() for name, output in job.outputs.items()}
    assert outputs.pop("empty.txt") == b""
    assert outputs.pop("from-the-middle") == content[3:]
    assert set(outputs) == {"bytes", "path", "buffer", "unpacked", "straight"}
    assert all(copy == content for copy in outputs.values())
    assert job.outputs["empty.txt"].content_type == "text/plain"


def test_the_folder_of_a_run_is_gone_with_it(done: Done) -> None:
    job = done("folder", body=b"abc")
    folder, found = job.result
    assert found == ["input.bin"], "what the job put there alone"
    assert not os.path.exists(folder)  # noqa: PTH110 (a text of another process)


def test_checkpoints_are_kept_through_the_worker(
    queue: Queue, worker: Simulation, clock: FakeClock
) -> None:
    job = queue.submit("own-process", data={"do": "resume"}, retry=Retry(max_attempts=2))
    worker.step()
    clock.advance(timedelta(minutes=5))
    worker.step()
    assert job.refresh().result == 1


def test_what_a_task_leaves_running_does_not_disturb_the_next_job(done: Done) -> None:
    pid = done("leave_a_thread", body=b"abc").result
    assert done("report", text="next").result[-1] == "ne"
    assert done("pid").result == pid, "in the same process"
    assert lives(pid)


def test_an_async_task_may_have_a_process_too(done: Done) -> None:
    job = done("x", task="async-in-process")
    (data, pid) = job.result
    assert data == {"do": "x"}
    assert pid != os.getpid()
    assert job.outputs["data.txt"].open().read() == b"{'do': 'x'}"


def test_a_process_that_says_what_is_no_answer_is_killed(done: Done) -> None:
    kind, message = failure(done("babble"))
    assert kind == "ProcessDied"
    assert "sent something unreadable" in message
    assert done("pid").state is State.COMPLETED


def _threads() -> set[str]:
    return {thread.name for thread in threading.enumerate()}


@pytest.mark.parametrize("task", ["own-process", "stranger", "in-thread"])
def test_what_a_task_makes_is_one_deeper_wherever_it_runs(
    queue: Queue, worker: Simulation, task: str
) -> None:
    above = Link(depth=lambda: 1, bucket="")
    with within(above):
        job = queue.submit(task, data={"do": "chain"})
    worker.step()

    assert job.refresh().result == 3


def test_a_job_of_an_upload_finds_its_depth_in_the_file(
    queue: Queue, installation: Installation, worker: Simulation
) -> None:
    files = installation.files
    stored = files.put(Area.INPUT, "in/file", b"x", metadata={"remotejob-depth": "6"})
    file = InputFile(bucket=stored.bucket, key=stored.key, size=1, name="file")
    (job,) = queue.submit_many([Submission("own-process", data={"do": "chain"}, input=file)])
    worker.step()

    assert job.refresh().result == 7
