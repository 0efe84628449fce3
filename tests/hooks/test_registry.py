"""Registering hooks: what is taken, what is refused, and where they are looked for."""

from __future__ import annotations

import threading
from dataclasses import replace

import pytest

from remotejob import InvalidData, InvalidName, RemoteJob
from remotejob import hooks as module
from remotejob.client.hooks import Hooks, JobEvent
from remotejob.domain.events import Event
from remotejob.ports import Installation
from remotejob.testing import memory_installation


def test_decorator_leaves_the_function_as_it_is(hooks: Hooks) -> None:
    def function(event: JobEvent) -> None:
        """A hook."""

    assert hooks.on("completed")(function) is function
    assert hooks.on("failed", function, task="x") is function


def test_unknown_event_is_refused_with_those_there_are(hooks: Hooks) -> None:
    with pytest.raises(InvalidName, match=r"event 'complete': use one of created, staged, .*"):
        hooks.on("complete", print)


async def later(event: JobEvent) -> None:
    """A coroutine: nobody would await it."""


@pytest.mark.parametrize("function", [later, "print", 3])
def test_what_cannot_be_called_is_refused(hooks: Hooks, function: object) -> None:
    with pytest.raises(InvalidData, match="give a plain function"):
        hooks.on("completed", function)  # type: ignore[call-overload]


def test_hook_that_returns_a_coroutine_is_said_to_have_done_nothing(
    hooks: Hooks, caplog: pytest.LogCaptureFixture
) -> None:
    hooks.on("created", lambda event: later(event))

    RemoteJob(memory_installation_with(hooks)).queue().submit("work")

    assert "it returned a coroutine, which nothing awaits" in caplog.text


def test_task_of_an_event_that_is_of_no_job_is_refused(hooks: Hooks) -> None:
    with pytest.raises(InvalidData, match="belongs to no job; leave it out"):
        hooks.on("child_restarted", print, task="x")


def test_hooks_are_called_in_the_order_they_were_given_until_taken_off(hooks: Hooks) -> None:
    queue = RemoteJob(memory_installation_with(hooks)).queue()
    heard: list[str] = []

    def second(event: JobEvent) -> None:
        heard.append("second")

    hooks.on("created", lambda event: heard.append("first"), task="work")
    hooks.on("created", second)
    hooks.on("created", lambda event: heard.append("third"))
    queue.submit("work")
    assert heard == ["first", "second", "third"]

    heard.clear()
    hooks.off("created", second)
    hooks.off("created", second)
    queue.submit("work")
    assert heard == ["first", "third"]


def test_installation_tells_the_hooks_of_the_process_unless_it_has_its_own(hooks: Hooks) -> None:
    heard: list[JobEvent] = []
    module.on(Event.CREATED, heard.append)
    try:
        RemoteJob(memory_installation_with(hooks)).queue().submit("work")
        assert heard == []
        job = RemoteJob(memory_installation()).queue().submit("work")
    finally:
        module.off(Event.CREATED, heard.append)
    RemoteJob(memory_installation()).queue().submit("work")

    assert [event.job.id for event in heard] == [job.id]


def test_hooks_given_by_many_threads_are_all_kept(hooks: Hooks) -> None:
    heard: list[int] = []
    functions = [lambda event, number=number: heard.append(number) for number in range(40)]
    threads = [
        threading.Thread(target=hooks.on, args=("created", function)) for function in functions
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    RemoteJob(memory_installation_with(hooks)).queue().submit("work")

    assert sorted(heard) == list(range(40))


def memory_installation_with(hooks: Hooks) -> Installation:
    return replace(memory_installation(), hooks=hooks)
