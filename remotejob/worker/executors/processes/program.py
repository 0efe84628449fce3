"""What a child process imports before it runs jobs."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta

from remotejob.domain.errors import SettingsError, WorkerStopping


class NotStarted(WorkerStopping):
    """No process could be started for a run: the worker's trouble, and not the job's."""

    def __init__(self, problem: OSError, *, pause: timedelta) -> None:
        """`pause` is how long the job is better left alone."""
        super().__init__(f"no process could be started for it: {problem}")
        self.pause = pause


@dataclass(frozen=True, kw_only=True, slots=True)
class ChildProgram:
    """The modules of a worker's tasks, and how its log is written.

    Raises: SettingsError.
    """

    modules: tuple[str, ...] = ()
    """Those whose import registers the tasks; none for the module that has the task's function."""
    logging: str | None = None
    """A function without arguments that sets logging up, as `module:function`."""

    def __post_init__(self) -> None:
        if self.logging is not None and self.logging.count(":") != 1:
            raise SettingsError(f"logging={self.logging!r}: name a function as module:function")
