"""The names of the workers' metrics, as CloudWatch shows them."""

from __future__ import annotations

from enum import StrEnum

from remotejob.names import UNREADABLE_METRIC


class Count(StrEnum):
    """The counters, by the names that CloudWatch shows."""

    STARTED = "Started"
    """Runs that began."""
    COMPLETED = "Completed"
    FAILED = "Failed"
    """Jobs that failed for good."""
    RETRIED = "Retried"
    """Runs that failed, but whose job will run again."""
    RELEASED = "Released"
    """Runs that were given back, such as by a worker that stops."""
    CANCELLED = "Cancelled"
    """Runs whose job was cancelled."""
    LEASE_LOST = "LeaseLost"
    """Runs whose outcome did not count, because another run had the job."""
    RECEIVES = "Receives"
    """Receive requests, including empty ones."""
    EMPTY_RECEIVES = "EmptyReceives"
    UNREADABLE = UNREADABLE_METRIC
    """How often an item of the table was left out because it could not be read."""


class Seconds(StrEnum):
    """The measurements, by the names that CloudWatch shows."""

    QUEUED = "SecondsQueued"
    """From when a job was due to its first run."""
    RUNNING = "SecondsRunning"
    """Length of a run without the commit at its end, if its outcome counted."""
