"""Checks functions before a job is given to them: one whose call does nothing fails every job."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

from remotejob.domain.argument_checks import check_callable, is_a, reading
from remotejob.domain.errors import InvalidData


def check_function(what: str, function: object, *takes: str) -> Callable[..., Any]:
    """Check that a call with these arguments, such as "job", runs the function.

    `what` names it in the message, such as "task 'resize'".
    Raises: InvalidData, for a class, for a function with a `yield`, and for one that cannot be
    called so.
    """
    called = check_callable(what, function, remedy=f"give a function of {' and '.join(takes)}")
    with reading(what):
        if is_a(called, type):
            raise InvalidData(
                f"{what} is a class, so calling it only makes an object: give a function, or an "
                "object that can be called"
            )
        if _is(called, inspect.isgeneratorfunction, inspect.isasyncgenfunction):
            raise InvalidData(
                f"{what} has a yield, so calling it runs nothing: return the result, and report "
                "its parts with job.progress, job.log or job.output"
            )
        problem = _misfit(called, takes)
    if problem is not None:
        raise InvalidData(
            f"{what} cannot be called with {' and '.join(takes)} ({problem}): let it take "
            f"{len(takes)} argument{'s' if len(takes) > 1 else ''}"
        )
    return called


def is_async(function: object) -> bool:
    """Whether calling it returns a coroutine, as far as one can tell before the call."""
    return _is(function, inspect.iscoroutinefunction)


def _is(function: object, *kinds: Callable[[Any], bool]) -> bool:
    own = getattr(function, "__call__", None)  # noqa: B004 (an object's own, which may be async)
    return any(kind(function) or kind(own) for kind in kinds)


def _misfit(function: Callable[..., Any], arguments: tuple[str, ...]) -> str | None:
    try:
        # not that of a function which it wraps: it may pass on other arguments
        signature = inspect.signature(function, follow_wrapped=False)
    except (TypeError, ValueError):
        # built-in functions need not tell
        return None
    try:
        signature.bind(*arguments)
    except TypeError as problem:
        return str(problem)
    return None
