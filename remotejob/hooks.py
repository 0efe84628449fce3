"""Hooks: functions called when something happens to a job, in the process where it happens.

from remotejob import hooks

@hooks.on("failed")
def alarm(event: hooks.JobEvent) -> None: ...
"""

from remotejob.client.hooks import (
    ChildEvent,
    CommandEvent,
    Event,
    Hooks,
    JobEvent,
    off,
    on,
    registry,
)

__all__ = ["ChildEvent", "CommandEvent", "Event", "Hooks", "JobEvent", "off", "on", "registry"]
