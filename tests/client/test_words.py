"""Every option that takes a word of a list takes each, and refuses others by name when it is given.

`OPTIONS` lists them; the last tests compare it with the signatures of all public calls.
"""

from __future__ import annotations

import enum
import inspect
import sys
import typing
from collections.abc import Callable, Iterable, Iterator
from dataclasses import is_dataclass
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import pytest
import typer
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

import remotejob
import remotejob.settings
import remotejob.tasks
import remotejob.testing
from remotejob import InvalidInput, RemoteJob
from remotejob.cli.app import app
from remotejob.client.hooks import ChildEvent, Hooks, JobEvent
from remotejob.domain.errors import SettingsError
from remotejob.domain.events import CommandEvent
from remotejob.testing.system_faults import SystemFaults
from remotejob.worker.lifecycle.supervisor import Supervisor, SupervisorOptions
from remotejob.worker.options import WorkerOptions
from remotejob.worker.worker import Worker
from tests.client.words import OPTIONS, Scene, Words


class Lies(str):
    """A text that says it is any other."""

    __slots__ = ()

    def __eq__(self, other: object) -> bool:
        return True

    def __ne__(self, other: object) -> bool:
        return False

    __hash__ = str.__hash__


class Plain(str):
    """A text as another library makes it, with its own way to say what it is."""

    __slots__ = ()

    def __str__(self) -> str:
        return "something else"


def near_misses(option: Words) -> Iterator[Any]:
    """What is no word of the option, but looks like one, or like something else that is taken."""
    word = max(option.means, key=len)
    yield from (
        word[:-1],
        word[1:],
        f"{word}x",
        f" {word}",
        f"{word}\n",
        word[1] + word[0] + word[2:],
    )
    yield from (
        "",
        "\ud800",
        "x" * 5_000_000,
        Lies(word[:-1]),
        word.encode(),
        [word],
        {word},
        object,
    )
    yield from (True, False, 1.0, float("nan"))
    if not option.any_case:
        yield from (word.upper(), word.title())
    if not option.takes_none:
        yield None
    if not option.takes_numbers:
        yield from (0, 1)


def refused(option: Words, scene: Scene, value: Any) -> None:
    with pytest.raises((InvalidInput, SettingsError)) as refusal:
        option.use(scene, value)
    said = str(refusal.value)
    assert all(word in said for word in option.means), said
    assert len(said) < 1000
    shown = value if isinstance(value, str) else repr(value)
    assert str.__str__(shown)[:20].strip()[:10].strip("\ud800") in said
    assert scene.requests.made == [], "it is refused before any request"


@pytest.mark.parametrize("name", OPTIONS)
def test_each_word_is_taken_for_what_it_means(name: str, tmp_path: Path) -> None:
    option = OPTIONS[name]
    for word, meaning in option.means.items():
        for given_as in (word, Plain(word), *([meaning] if isinstance(meaning, enum.Enum) else [])):
            taken = option.use(Scene(tmp_path), given_as)
            # a word is equal to its member, and no `is` finds it
            assert (taken, type(taken)) == (meaning, type(meaning)), given_as
    if option.any_case:
        for word, meaning in option.means.items():
            assert option.use(Scene(tmp_path), word.upper()) == meaning


@pytest.mark.parametrize("name", OPTIONS)
def test_a_near_miss_is_refused_by_name_before_any_request(name: str, tmp_path: Path) -> None:
    for value in near_misses(OPTIONS[name]):
        scene = Scene(tmp_path)
        refused(OPTIONS[name], scene, value)


def test_no_other_text_is_taken(tmp_path: Path) -> None:
    @settings(
        max_examples=100,
        deadline=None,
        database=None,
        suppress_health_check=[HealthCheck.too_slow],
    )
    @given(name=st.sampled_from(sorted(OPTIONS)), data=st.data())
    def holds(name: str, data: st.DataObject) -> None:
        option = OPTIONS[name]
        letters = st.sampled_from("".join(option.means))
        value = data.draw(st.text(st.one_of(letters, st.characters())))
        taken = value.lower() if option.any_case else value
        if taken not in option.means:
            with pytest.raises((InvalidInput, SettingsError)):
                option.use(Scene(tmp_path), value)

    holds()


# All of them


RESULTS: Final = {
    *(remotejob.LogLine, remotejob.PreviousRun, remotejob.Reason, remotejob.Receipt),
    *(remotejob.Letter, remotejob.Notice, remotejob.Outputs, remotejob.StoredFile),
    *(remotejob.testing.TaskRun, JobEvent, ChildEvent, CommandEvent),
}
"""Classes whose objects the library makes."""

SPARED: Final = {"Hooks.tell", "Hooks.wants", "SystemFaults.due"}
"""Calls that the library makes itself."""


def choices_in(annotation: Any) -> bool:
    """Whether a type allows members of an enumeration of ours, or words."""
    if typing.get_origin(annotation) is Literal:
        return any(isinstance(one, str) for one in typing.get_args(annotation))
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return annotation.__module__.startswith("remotejob")
    return any(choices_in(one) for one in typing.get_args(annotation))


def hints_of(function: Callable[..., Any]) -> dict[str, Any]:
    """The types of its parameters; names that it only imports to check types are anything."""
    function = inspect.unwrap(function)
    names = dict(vars(sys.modules[function.__module__]))
    while True:
        try:
            return typing.get_type_hints(function, globalns=names)
        except NameError as missing:
            names[str(missing.name)] = typing.Any


def public() -> Iterator[tuple[str, Any]]:
    for module in (remotejob, remotejob.testing, remotejob.tasks, remotejob.settings):
        for name in module.__all__:
            yield name, getattr(module, name)
    for one in (Hooks, SystemFaults, Worker, WorkerOptions, Supervisor, SupervisorOptions):
        yield one.__name__, one


def choosing(calls: Iterable[tuple[str, Any]]) -> Iterator[str]:
    """The names of all parameters of these that take a member of an enumeration."""
    for name, one in calls:
        if inspect.isfunction(one):
            yield from (f"{name}.{each}" for each in taking(one))
        if not inspect.isclass(one) or one in RESULTS or issubclass(one, enum.Enum):
            continue
        for method, function in inspect.getmembers(one, inspect.isfunction):
            ours = function.__module__.startswith("remotejob")
            if method == "__init__" and (ours or is_dataclass(one)):
                yield from (f"{name}.{each}" for each in taking(function))
            elif ours and not method.startswith("_") and f"{name}.{method}" not in SPARED:
                yield from (f"{name}.{method}.{each}" for each in taking(function))


def taking(function: Callable[..., Any]) -> Iterator[str]:
    for name, annotation in hints_of(function).items():
        if name != "return" and choices_in(annotation):
            yield name


def test_every_public_option_with_words_is_in_the_table() -> None:
    found = set(choosing(public()))
    assert {"Retry.backoff", "Worker.stop.urgency", "Queue.submit.priority"} <= found
    assert found - set(OPTIONS) == set(), "add them to OPTIONS in tests/client/words.py"


@pytest.mark.exhaustive  # the CDK takes seconds to start
def test_no_construct_has_an_option_with_words() -> None:
    import remotejob.cdk

    calls = [(name, getattr(remotejob.cdk, name)) for name in remotejob.cdk.__all__]
    assert list(choosing(calls)) == []


def test_the_commands_options_with_words_are_found() -> None:
    found = {(command, option) for command, option, _ in CHOICES}
    assert {(("ls",), "--state"), (("deploy",), None)} <= found


def test_every_entry_of_the_table_is_a_public_option() -> None:
    known = dict(public())
    for entry in OPTIONS:
        owner, *method, parameter = entry.split(".")
        call = getattr(known[owner], method[0]) if method else known[owner]
        assert parameter in inspect.signature(call).parameters, entry


# Commands


def commands(group: Any, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """Each command by its words. By their looks: typer has a click of its own."""
    if not hasattr(group, "commands"):
        yield path, group
        return
    for name, command in group.commands.items():
        yield from commands(command, (*path, name))


def choices() -> Iterator[tuple[tuple[str, ...], str | None, list[str]]]:
    """The words of a command, its option (None for an argument), and what that takes."""
    for path, command in commands(typer.main.get_command(app)):
        hints = hints_of(command.callback)
        for option in command.params:
            for kind in enums_in(hints.get(option.name)):
                flags = [flag for flag in option.opts if flag.startswith("--")]
                yield path, flags[0] if flags else None, [str(one) for one in kind]


def enums_in(annotation: Any) -> list[type[enum.Enum]]:
    if inspect.isclass(annotation) and issubclass(annotation, enum.Enum):
        return [annotation]
    return [kind for one in typing.get_args(annotation) for kind in enums_in(one)]


CHOICES: Final = list(choices())

TEXTS: Final[list[tuple[tuple[str, ...], str | None, list[str]]]] = [
    (("submit", "work"), "--priority", ["low", "normal", "medium", "high", "critical"]),
    (("redrive",), "--kind", ["pending", "status", "uploads"]),
]


@pytest.mark.parametrize(
    ("command", "option", "words"),
    [*CHOICES, *TEXTS],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_command_names_the_words_of_its_option(
    command: tuple[str, ...], option: str | None, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def connects(*_: object, **__: object) -> NoReturn:
        raise AssertionError("it is refused before any request")

    monkeypatch.setattr(RemoteJob, "connect", connects)
    monkeypatch.setenv("COLUMNS", "200")

    done = CliRunner().invoke(app, [*command, *filter(None, [option]), f"{words[0]}x"])

    # the program's own entry prints an error of ours, and ends with status 2
    said = str(done.exception) if isinstance(done.exception, InvalidInput) else done.output
    assert done.exit_code == (1 if isinstance(done.exception, InvalidInput) else 2), said
    assert f"{words[0]}x" in said
    assert all(word in said for word in words)
