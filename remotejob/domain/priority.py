"""Priorities, the lanes that carry them, and the order in which jobs start."""

from __future__ import annotations

from enum import IntEnum, StrEnum
from typing import Final

from remotejob.domain.argument_checks import plain_text, plain_whole
from remotejob.domain.errors import InvalidData
from remotejob.domain.text import shown


class Priority(IntEnum):
    """Named priorities; a smaller number runs sooner.

    Wherever a priority is given, so is its name in lower case, such as "high", and any other whole
    number. Source: job-collection, `Job.jobPriorities`.
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


PRIORITY_WORDS: Final = tuple(one.name.lower() for one in Priority)

_LARGEST: Final = 1_000_000


def check_priority(value: object, *, lead: str = "priority=") -> int:
    """A priority, given as a whole number or by its name, in any case.

    `lead` stands before the value in the message. Raises: InvalidData.
    """
    number, text = plain_whole(value), plain_text(value)
    if text is not None and text.lower() in PRIORITY_WORDS:
        return int(Priority[text.upper()])
    if number is None:
        words = ", ".join(PRIORITY_WORDS)
        raise InvalidData(f"{lead}{shown(value)}: use {words}, or a whole number")
    if abs(number) > _LARGEST:
        raise InvalidData(f"{lead}{shown(value)}: use a number between ±{_LARGEST}")
    return number
