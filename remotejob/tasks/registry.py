"""The registry of tasks, by name."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Coroutine, Iterator, Mapping
from datetime import timedelta
from typing import TYPE_CHECKING, Any, Final, TypeVar

from remotejob.domain.argument_checks import check_callable, plain_text
from remotejob.domain.crash_limits import check_crashes
from remotejob.domain.errors import InvalidData, InvalidName, SettingsError
from remotejob.domain.name_rules import TASK_NAME
from remotejob.domain.retry import NO_RETRY, Retry, check_retry
from remotejob.domain.text import cut, name_of, shown
from remotejob.domain.times import check_timedelta
from remotejob.tasks.runs_in import RunsIn, where
from remotejob.tasks.task import Task

if TYPE_CHECKING:
    from remotejob.tasks.async_running_job import AsyncRunningJob
    from remotejob.tasks.running_job import RunningJob

_SHORTEST_LEASE: Final = timedelta(seconds=3)
_LONGEST_LEASE: Final = timedelta(hours=6)
"""Half of SQS's longest visibility timeout."""

Function = TypeVar(
    "Function",
    bound="Callable[[RunningJob], Any] | Callable[[AsyncRunningJob], Coroutine[Any, Any, Any]]",
)


class Registry(Mapping[str, Task]):
    """The tasks a worker can run."""

    def __init__(self) -> None:
        self._tasks: dict[str, Task] = {}

    def task(
        self,
        name: str,
        *,
        retry: Retry = NO_RETRY,
        timeout: timedelta | None = None,
        lease: timedelta | None = None,
        work_timeout: timedelta | None = None,
        crashes: int | None = None,
        runs_in: RunsIn | None = None,
    ) -> Callable[[Function], Function]:
        """Register the decorated function, which takes a `RunningJob` and returns the result.

        `work_timeout`: how long it may go without a call of its job, such as `check`, `progress`
        or `output`; a call counts when it begins.
        `crashes`: how many deaths of its worker a job may survive; default two. 0 for a task that
        must not run again by itself: the job then fails, for a person to look at and restart.
        `runs_in`: `Threads()`, `Process(...)` or `Async()`; default the event loop for an
        `async def`, which takes an `AsyncRunningJob`, and threads for any other function.

        Raises: InvalidName, when the name is taken or invalid; InvalidData, when a span is invalid
        or the function cannot run there.
        """
        text = plain_text(name)
        if text is None:
            raise InvalidName(f'task {shown(name)} has no name; write @task("{_name_for(name)}")')
        name = text
        if not TASK_NAME.fullmatch(name):
            raise InvalidName(
                f"task name {shown(name)}: use letters, digits, dots, dashes and underscores, at "
                "most 64"
            )
        check_retry(retry)
        check_crashes(crashes)
        for span, value in (("timeout", timeout), ("work_timeout", work_timeout)):
            if value is not None and check_timedelta(span, value) <= timedelta(0):
                raise InvalidData(
                    f"task {name!r}: {span}={value} leaves it no time; use more, or None"
                )
        if lease is not None:
            check_timedelta("lease", lease)
        if lease is not None and not _SHORTEST_LEASE <= lease <= _LONGEST_LEASE:
            raise InvalidData(
                f"task {name!r}: lease={lease}: use from {_SHORTEST_LEASE.seconds} seconds to "
                f"{_LONGEST_LEASE.seconds // 3600} hours"
            )

        def register(function: Function) -> Function:
            check_callable("function", function, remedy=f'write @task("{name}") above a function')
            if name in self._tasks:
                other = self._tasks[name].function
                raise InvalidName(
                    f"task {name!r} is registered already, by {name_of(other)}; rename one"
                )
            self._tasks[name] = Task(
                name=name,
                function=function,
                retry=retry,
                timeout=timeout,
                lease=lease,
                work_timeout=work_timeout,
                crashes=crashes,
                runs_in=where(name, function, runs_in),
            )
            return function

        return register

    def forget(self, name: str) -> None:
        """Take a task out again, as after a test that registered it.

        Raises: InvalidName, when there is none of that name.
        """
        text = plain_text(name)
        if text is None or text not in self._tasks:
            raise InvalidName(
                f"task {shown(name)} is not registered; give a registered task's name"
            )
        del self._tasks[text]

    def require(self, names: tuple[str, ...], *, queue: str) -> None:
        """Check that all tasks of a queue are registered.

        Raises: SettingsError, naming the first that is not.
        """
        for name in names:
            if name not in self._tasks:
                close = difflib.get_close_matches(name, self._tasks, n=1)
                hint = f" (there is {close[0]!r})" if close else ""
                raise SettingsError(
                    f"queue {queue!r} runs task {name!r}, which is not registered{hint}: "
                    f'decorate its function with @task("{name}") in the tasks module, '
                    f"or take it out of [queues.{queue}] in remotejob.toml"
                )

    def __getitem__(self, name: str) -> Task:
        return self._tasks[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._tasks)

    def __len__(self) -> int:
        return len(self._tasks)


def _name_for(given: object) -> str:
    """A name to suggest for a function that was decorated without brackets."""
    name = name_of(given).rpartition(".")[2].strip("_<>") if callable(given) else ""
    return cut(name, 64) or "name"


registry: Final = Registry()
"""The registry that `@task` uses. One per process, because a worker is one process."""

task: Final = registry.task
