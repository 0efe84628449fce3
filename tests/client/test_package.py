"""What the package offers, and what importing it costs."""

from __future__ import annotations

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import pytest

import remotejob

DOCUMENTED = {
    "RemoteJob", "Queue", "Job", "Output", "Submission", "State", "Priority", "Retry", "Backoff",
    "task", "RunningJob", "Fatal", "Failure", "InputFile", "LogLine", "Outputs",
    "RemoteJobError", "InvalidInput", "InvalidName", "InvalidBody", "InvalidData", "UnknownQueue",
    "UnknownTask", "SettingsError", "SystemNotFound", "AccessProblem", "JobNotFound",
    "CommandRefused", "JobFailed", "JobUnfinished", "WaitTimeout", "OutputNotFound",
    "QueueUnavailable", "PartlySubmitted", "RunInterrupted", "LeaseLost", "JobCancelled",
    "TimedOut", "WorkerStopping", "StoreUnavailable", "DependencyEnded", "StillRunning",
    "Order", "FOREVER", "FOREVER_DATE", "Repeat", "Completion", "Commanded", "StepFailed",
    "StepFailedForGood", "compose", "progress", "TakenJob", "Processor", "Urgency", "Notice",
    "StoredFile", "JobDraft", "Batch", "BatchCounts", "BatchState", "BatchNotFound",
    "BatchUnfinished", "NoInput", "Receipt", "Replayed", "OnError", "Reason", "Why", "WorkerStatus",
    "Threads", "Process", "Async", "Credentials", "AsyncRunningJob", "AsyncStream", "ProcessDied",
    "FileGone", "FileUnreadable", "PreviousRun", "ChainTooLong", "QueueFull", "UnreadableItem",
    "QueueRetired", "StoppedQueue", "KeyReused",
    "DeadLetters", "Letter", "LetterKind", "Redriven", "Antecedent", "AsyncAntecedent",
    "AsyncOutput",
}  # fmt: skip

HEAVY = ("aws_cdk", "moto", "typer", "rich", "aws_lambda_powertools", "PIL", "pytest", "hypothesis")


def test_the_package_offers_what_is_documented() -> None:
    assert set(remotejob.__all__) == DOCUMENTED


@pytest.mark.exhaustive
def test_every_name_offered_is_there_whichever_is_asked_for_first() -> None:
    program = """
import os, remotejob
for name in remotejob.__all__:
    if not os.fork():
        try:
            getattr(remotejob, name)
        except BaseException as problem:
            print(name, repr(problem), flush=True)
        os._exit(0)
    os.wait()
"""
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout == ""
    assert set(remotejob.__all__) <= set(dir(remotejob))


def test_hooks_are_there_without_an_import_of_their_own() -> None:
    program = "import remotejob; print(remotejob.hooks.on.__module__)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "remotejob.client.hooks"


def test_type_checkers_find_the_names_in_their_modules() -> None:
    (told,) = (
        node
        for node in ast.parse(Path(remotejob.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    )
    named: dict[str, object] = {}
    for line in told.body:
        assert isinstance(line, ast.ImportFrom)
        module = importlib.import_module(str(line.module))
        named |= {alias.name: getattr(module, alias.name) for alias in line.names}

    assert named == {name: getattr(remotejob, name) for name in remotejob.__all__}


def test_a_name_that_is_not_there_is_said_so() -> None:
    with pytest.raises(AttributeError, match=r"'remotejob' has no attribute 'Jobb'"):
        getattr(remotejob, "Jobb")  # noqa: B009 (a type checker would refuse it)


def test_a_worker_does_not_load_what_only_a_client_needs() -> None:
    program = "from remotejob import RunningJob, task\nimport sys\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )

    loaded = set(done.stdout.split())
    assert "remotejob.tasks.running_job" in loaded
    client = {f"remotejob.{name}" for name in ("client", "batches.batch", "hand.hand", "receipts")}
    assert loaded & client == set()


def test_every_error_is_offered_and_in_the_tree_of_its_module() -> None:
    from remotejob.domain import errors

    made = {
        node.name
        for node in ast.parse(Path(errors.__file__).read_text(encoding="utf-8")).body
        if isinstance(node, ast.ClassDef)
    }
    assert made <= set(remotejob.__all__)
    assert errors.__doc__ is not None
    assert {name for name in made if name not in errors.__doc__} == set()


def test_every_error_has_the_one_base() -> None:
    raised = {
        value
        for value in (getattr(remotejob, name) for name in remotejob.__all__)
        if isinstance(value, type) and issubclass(value, Exception)
    }
    # a task raises it to the library, not the library to anybody
    assert {one for one in raised if not issubclass(one, remotejob.RemoteJobError)} == {
        remotejob.Fatal
    }


def _loaded_by(statement: str) -> set[str]:
    program = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run(
        [sys.executable, "-c", program], check=True, capture_output=True, text=True
    )
    return {name.partition(".")[0] for name in done.stdout.split()}


def test_importing_the_client_loads_no_heavy_library() -> None:
    assert _loaded_by("import remotejob") & set(HEAVY) == set()


def test_connecting_loads_botocore_and_no_heavy_library() -> None:
    loaded = _loaded_by("import remotejob.backends.aws")
    assert "botocore" in loaded
    # only files, and what is not plain, are asked for with its clients
    assert "boto3" not in loaded
    assert loaded & set(HEAVY) == set()


def test_the_domain_loads_the_standard_library_only() -> None:
    domain = Path(remotejob.__file__).parent / "domain"
    modules = ", ".join(
        f"remotejob.domain.{file.stem}"
        for file in sorted(domain.glob("*.py"))
        if file.stem != "__init__"
    )
    # the package itself loads the client; the domain is loaded as if alone
    bare = (
        "import sys, types\n"
        "package = types.ModuleType('remotejob')\n"
        f"package.__path__ = [{str(Path(remotejob.__file__).parent)!r}]\n"
        "sys.modules['remotejob'] = package\n"
        f"import {modules}"
    )
    loaded = _loaded_by(bare) - _loaded_by("pass") - sys.stdlib_module_names
    assert loaded == {"remotejob"}
