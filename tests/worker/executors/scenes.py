"""Jobs that run while a test looks on, and processes that are to be gone."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

from remotejob.tasks import Task, registry
from remotejob.testing import Simulation
from tests.end_to_end.waiting import PATIENCE, until


def of_module(module: ModuleType) -> Mapping[str, Task]:
    """The tasks that a module registers."""
    return {
        name: task for name, task in registry.items() if task.function.__module__ == module.__name__
    }


@contextmanager
def going_on(worker: Simulation) -> Iterator[None]:
    """Let the worker see to what is visible, and wait for its end."""
    thread = threading.Thread(target=worker.step, daemon=True)
    thread.start()
    yield
    thread.join(PATIENCE)
    assert not thread.is_alive(), "the run ends"


def told(file: Path) -> list[int]:
    """The processes that a task reported, once it has begun."""
    until(file.exists, what="the task's beginning")
    return [int(number) for number in file.read_text().split()]


def lives(pid: int) -> bool:
    """Whether a process runs: one that has ended and is nobody's to reap does not."""
    try:
        status = Path(f"/proc/{pid}/stat").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return status.rpartition(")")[2].split()[0] not in ("Z", "X")


def until_gone(pids: list[int]) -> None:
    until(lambda: not any(lives(pid) for pid in pids), what=f"the end of {pids}")
