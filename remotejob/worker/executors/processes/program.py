"""The program of the child processes: the modules they import, and how they log."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from remotejob.domain.errors import SettingsError, WorkerStopping


class NotStarted(WorkerStopping):
    """No process could be started for a run: a problem of the worker, not of the job."""

    def __init__(self, problem: OSError, *, pause: timedelta) -> None:
        """`pause` is how long to wait before the next try."""
        super().__init__(f"no process could be started for it: {problem}")
        self.pause = pause


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildProgram:
    """The modules of a worker's tasks, and the set-up of its logging.

    Raises: SettingsError.
    """

    modules: tuple[str, ...] = ()
    """Modules whose import registers the tasks; default the module of the task's function."""
    logging: str | None = None
    """A function without arguments that sets up logging, and whatever else comes before the tasks,
    as `module:function`."""

    def __post_init__(self) -> None:
        if self.logging is not None and self.logging.count(":") != 1:
            raise SettingsError(f"logging={self.logging!r}: name a function as module:function")
