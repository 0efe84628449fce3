"""Errors of the built-in tasks. All are fatal except `FetchFailed`, which a retry may fix."""

from __future__ import annotations

from remotejob.domain.errors import Fatal, InvalidBody, InvalidData, RemoteJobError


class BadData(InvalidData, Fatal):
    """The job's data lacks what the task needs."""


class BadFile(InvalidBody, Fatal):
    """A file is not of the kind the task needs, or exceeds a limit."""


class FetchRefused(RemoteJobError, Fatal):
    """The URL may not be fetched, or its content is too large."""


class FetchFailed(RemoteJobError):
    """The fetch failed, but a later try may succeed."""
