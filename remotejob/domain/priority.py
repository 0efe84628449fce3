"""Priorities, the lanes that carry them, and the order in which jobs start."""

from __future__ import annotations

from enum import IntEnum, StrEnum


class Priority(IntEnum):
    """Named priorities; a smaller number runs sooner.

    Source: job-collection, `Job.jobPriorities`. Any other integer is a priority too.
    """

    LOW = 10
    NORMAL = 0
    MEDIUM = -5
    HIGH = -10
    CRITICAL = -15


class Lane(StrEnum):
    """A priority range of a queue. SQS has no priorities, so each lane is an SQS queue."""

    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class Order(StrEnum):
    """The order in which a queue's jobs start. Only approximate: messages overtake each other."""

    WEIGHTED = "weighted"
    """By priority: lanes take turns by weight."""

    FIFO = "fifo"
    """In the order they came, whatever their priority."""

    RANDOM = "random"
    """At random, among the jobs that a worker received together."""


def lane_of(priority: int) -> Lane:
    """The lane for a priority: high up to -10, low from 10, normal between."""
    if priority <= Priority.HIGH:
        return Lane.HIGH
    if priority >= Priority.LOW:
        return Lane.LOW
    return Lane.NORMAL


def priority_named(name: str) -> Priority:
    """The priority called `name`, in lower case.

    Raises: KeyError, if there is none.
    """
    return Priority[name.upper()]
