"""Connects a command to the system it means, and says which one that is."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import Final

from remotejob.cli.choosing import On, choose, use
from remotejob.cli.common import note
from remotejob.cli.project import LOCAL_STATE, project_folder, project_system
from remotejob.client.remote_job import RemoteJob
from remotejob.domain.errors import AccessProblem, BatchNotFound, JobNotFound, OutputNotFound
from remotejob.local import announcement
from remotejob.local.announcement import ENDPOINT, LocalSystem

_MEANT_ELSEWHERE: Final = (AccessProblem, BatchNotFound, JobNotFound, OutputNotFound)
"""Errors that may come from talking to the wrong system."""


@dataclass(kw_only=True)
class _Command:
    """The command that this process runs."""

    on: On | None = None
    place: str | None = None
    """The system it talks to, for people; None before that is known."""


_current: Final = _Command()


def begin(on: On | None) -> None:
    """Begin a command, with the value of `--on`."""
    _current.on, _current.place = on, None


def meant(system: str | None) -> LocalSystem | None:
    """The local system that a command means; None for one in AWS.

    Raises: SettingsError, when both could be meant; SystemNotFound.
    """
    folder = project_folder()
    running = None if folder is None else announcement.find(folder / LOCAL_STATE)
    # how a shell unsets a variable for one command
    return choose(_current.on, system or None, os.environ, running)


def connect(system: str | None) -> RemoteJob:
    """The system that a command means: the local one, or the one with this name in AWS; without a
    name, that of the project's settings.

    Raises: SettingsError, for settings that cannot be read; as `meant`, and as `RemoteJob.connect`.
    """
    local = meant(system)
    if local is None:
        connected = RemoteJob.connect(system or project_system() or "default")
        _current.place = _place(connected)
        return connected
    use(local, os.environ)
    _current.place = f"system {local.system}, local"
    return RemoteJob.connect(local.system)


def connect_to_change(system: str | None) -> RemoteJob:
    """As `connect`; says on standard error which system is about to be changed."""
    connected = connect(system)
    if _current.place is not None:
        note(_current.place)
    return connected


def where(error: Exception) -> str:
    """Which system an error is about, in brackets; empty where that cannot be the trouble."""
    if _current.place is None or not isinstance(error, _MEANT_ELSEWHERE):
        return ""
    return f" ({_current.place})"


def _place(connected: RemoteJob) -> str | None:
    if not connected.account:
        return None
    endpoint = os.environ.get(ENDPOINT)
    at = f" at {endpoint}" if endpoint else ""
    return f"system {connected.name}, account {connected.account} in {connected.region}{at}"
