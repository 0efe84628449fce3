"""Errors whose own code raises when somebody looks at them, raised wherever a task may run."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Final, NoReturn

from remotejob import AsyncRunningJob, Process, RunningJob, task

NAMES: Final = ("odd-error-thread", "odd-error-process", "odd-error-loop")


class CannotSay(Exception):
    def __str__(self) -> NoReturn:
        raise ValueError("nor can this")

    __repr__ = __str__


class Leaves(Exception):
    def __str__(self) -> NoReturn:
        raise SystemExit(4)


class Text(str):
    __slots__ = ()

    def __len__(self) -> NoReturn:
        raise ValueError("no length")

    encode = __getitem__ = __bool__ = __len__  # type: ignore[assignment]


class SaysText(Exception):
    def __str__(self) -> str:
        return Text("words")


def _raise(*_: object) -> NoReturn:
    raise ValueError("not even that")


_NEVER: Final = property(_raise)


def _of(name: str, **members: Any) -> Callable[[], BaseException]:
    """Makes errors of a class with these members."""
    made: type[Exception] = type(name, (Exception,), members)
    return partial(made, "x")


class Nameless(type):
    __name__ = _NEVER


def _named() -> BaseException:
    error: BaseException = Nameless("Named", (Exception,), {})("x")
    return error


def _long() -> Exception:
    """Of a name that no item of DynamoDB has room for."""
    error: Exception = type("L" * 500_000, (Exception,), {})("long")
    return error


ERRORS: Final[dict[str, Callable[[], BaseException]]] = {
    "CannotSay": CannotSay,
    "Leaves": Leaves,
    "SaysText": SaysText,
    "NoCause": _of("NoCause", __cause__=_NEVER, __context__=_NEVER, __notes__=_NEVER),
    "Hidden": _of("Hidden", __class__=_NEVER),
    "Placeless": _of("Placeless", __module__=5),
    "Named": _named,
    "OSError": lambda: OSError([], "an errno that is no number"),
    "L": _long,
}
"""By the name of their class."""


def made(case: str) -> BaseException:
    return ERRORS[case]()


def kind(case: str) -> str:
    """The kind that the record is to have."""
    return "L" * 199 + "…" if case == "L" else case


@task("odd-error-thread")
def in_thread(job: RunningJob) -> NoReturn:
    raise made(job.data)


@task("odd-error-process", runs_in=Process())
def in_process(job: RunningJob) -> NoReturn:
    raise made(job.data)


@task("odd-error-loop")
async def on_loop(job: AsyncRunningJob) -> Any:
    raise made(await job.data())
