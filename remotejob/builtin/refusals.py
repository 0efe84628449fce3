"""What the built-in tasks raise. All but `FetchFailed` is for good: no later try is better."""

from __future__ import annotations

from remotejob.domain.errors import Fatal, InvalidBody, InvalidData, RemoteJobError


class BadData(InvalidData, Fatal):
    """The job's data does not say what the task needs."""


class BadFile(InvalidBody, Fatal):
    """A file is not what the task can work on, or beyond its limits."""


class FetchRefused(RemoteJobError, Fatal):
    """The address may not be fetched, or what it gives is too large."""


class FetchFailed(RemoteJobError):
    """The address gave nothing usable this time."""
