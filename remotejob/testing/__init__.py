"""The testing kit: a system in memory with a clock to move, one run of a task, sample events.

`docs/testing.md` shows how to test your own tasks. The rest is for backends and for this library's
own tests: fault injection at every request, and conformance suites.
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remotejob.testing.fakes import (
        FakeClock,
        Simulation,
        memory_installation,
        seeded_entropy,
    )
    from remotejob.testing.job_system import JobSystem, NoRoute
    from remotejob.testing.observed_run import Moment
    from remotejob.testing.s3_events import s3_event, s3_notification, s3_test_event, sqs_event
    from remotejob.testing.system_engine import NotDrained
    from remotejob.testing.system_faults import FaultNotMet, Service
    from remotejob.testing.task_runs import Ending, TaskRun, run_task

__all__ = [
    "Ending",
    "FakeClock",
    "FaultNotMet",
    "JobSystem",
    "Moment",
    "NoRoute",
    "NotDrained",
    "Service",
    "Simulation",
    "TaskRun",
    "memory_installation",
    "run_task",
    "s3_event",
    "s3_notification",
    "s3_test_event",
    "seeded_entropy",
    "sqs_event",
]

_HOMES = {
    "fakes": "FakeClock Simulation memory_installation seeded_entropy",
    "job_system": "JobSystem NoRoute",
    "observed_run": "Moment",
    "task_runs": "Ending TaskRun run_task",
    "s3_events": "s3_event s3_notification s3_test_event sqs_event",
    "system_engine": "NotDrained",
    "system_faults": "FaultNotMet Service",
}
"""The names each module defines. They load at first use: pytest imports this package at its start.
"""

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        """Source: Python Language Reference, "Customizing module attribute access"."""
        from importlib import import_module

        for module, names in _HOMES.items():
            if name in names.split():
                value = getattr(import_module(f"{__name__}.{module}"), name)
                globals()[name] = value
                return value
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

    def __dir__() -> list[str]:
        return sorted({*globals(), *__all__})
