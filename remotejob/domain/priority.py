"""Priorities, the lanes they travel in, and the order in which jobs begin."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Priority(IntEnum):
    """Named priorities; smaller is sooner.

    Source: job-collection, `Job.jobPriorities`. Any other integer is a priority as well.
    """

    LOW = 10
    NORMAL = 0
    MEDIUM = -5
    HIGH = -10
    CRITICAL = -15


class Lane(StrEnum):
    """The pending queues of one queue: SQS has no priorities, so each lane is a queue."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Order(StrEnum):
    """In what order a queue's jobs begin. Never more than about: messages overtake each other."""

    WEIGHTED = "weighted"
    """By priority: lanes take turns by weight."""

    FIFO = "fifo"
    """As they came, whatever their priority."""

    RANDOM = "random"
    """By chance, among those that a worker received together."""


def lane_of(priority: int) -> Lane:
    """The lane a priority travels in: high to -10 and below, low from 10, normal between."""
    if priority <= Priority.HIGH:
        return Lane.HIGH
    if priority >= Priority.LOW:
        return Lane.LOW
    return Lane.NORMAL


def priority_named(name: str) -> Priority:
    """The priority called `name`, in lower case.

    Raises: KeyError, when there is none.
    """
    return Priority[name.upper()]
