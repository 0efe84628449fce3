"""`word_count`, `key_map`, `pluck_data` and `ping`; and how they are registered."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from remotejob import InvalidData, InvalidName, Job, RunningJob, State, builtin
from remotejob.builtin import Fetch, GetHrefs, Untar, WordCount
from remotejob.tasks import Registry
from tests.builtin.conftest import Run


def said(job: Job) -> str:
    assert job.state is State.FAILED
    return f"{job.errors[-1].kind}: {job.errors[-1].message}"


def test_ping_answers(run: Run) -> None:
    job = run(builtin.ping, data={"foo": "bar"})

    assert job.result == {"ack": "PONG"}
    assert [line.message for line in job.logs()] == ["ping"]


@pytest.mark.parametrize(
    ("text", "data", "count"),
    [
        ("a b  a\n\tA", {}, {"a": 2, "b": 1, "A": 1}),
        ("", {}, {}),
        ("  \n ", {}, {}),
        ("a,b,,a b", {"token": ","}, {"a": 1, "b": 1, "a b": 1}),
        ("a--b--", {"token": "--"}, {"a": 1, "b": 1}),
        ("naïve Ω naïve", {}, {"naïve": 2, "Ω": 1}),
    ],
)
def test_words_are_counted(run: Run, text: str, data: dict[str, str], count: Any) -> None:
    def work(job: RunningJob) -> object:
        (job.folder() / "x.txt").write_bytes(text.encode())
        return builtin.word_count(job)

    assert run(work, data={"location": "x.txt", **data}).result == {"count": count}


@pytest.mark.parametrize("token", [None, "  ", "\u2003"])
def test_words_on_the_edge_of_what_is_read_at_once_stay_whole(run: Run, token: str | None) -> None:
    words = [f"w{number}é" for number in range(50_000)]
    data = {} if token is None else {"token": token}

    job = run(builtin.word_count, body=(token or " ").join(words).encode(), filename="x", data=data)

    assert job.result["count"] == dict.fromkeys(words, 1)


@pytest.mark.parametrize("encoding", ["latin-1", "UTF-16", "cp1252"])
def test_text_is_read_in_its_encoding(run: Run, encoding: str) -> None:
    body = "é è é".encode(encoding)

    job = run(builtin.word_count, body=body, filename="x", data={"encoding": encoding})

    assert job.result == {"count": {"é": 2, "è": 1}}


@pytest.mark.parametrize(
    "data",
    [
        {"encoding": "zip"}, {"encoding": "idna"}, {"encoding": "utf-7"}, {"encoding": "\0"},
        {"encoding": "x" * 1000}, {"encoding": 7}, {"token": ""}, {"token": 7},
        {"token": "x" * 101}, {"location": "../x"}, {"location": {}}, 7,
    ],
)  # fmt: skip
def test_data_that_cannot_be_counted_by_is_refused(run: Run, data: Any) -> None:
    assert said(run(builtin.word_count, body=b"a", filename="x", data=data)).startswith("BadData")


@pytest.mark.parametrize(
    ("options", "body", "named"),
    [
        (WordCount(), b"\xff\xfe\xfd", "encoding"),
        (WordCount(max_bytes=3), b"abcd", "max_bytes"),
        (WordCount(max_words=2), b"a b c", "max_words"),
        (WordCount(max_word=3), b"abcd", "max_word"),
        (WordCount(max_word=3), b"abcd e", "max_word"),
        (WordCount(), b"x" * 200_000, "max_word"),
    ],
)
def test_text_beyond_the_limits_is_refused(
    run: Run, options: WordCount, body: bytes, named: str
) -> None:
    message = said(run(options.run, body=body, filename="x"))

    assert message.startswith("BadFile: ")
    assert named in message


def test_task_without_a_file_says_how_to_give_one(run: Run) -> None:
    assert "submit the job with a body" in said(run(builtin.word_count))


@pytest.mark.parametrize(
    ("data", "result"),
    [
        ({"transfer": {"a": "b"}, "source": {"a": 1, "c": 2}}, {"b": 1, "c": 2}),
        ({"transfer": {"a": "b"}, "a": 1}, {"b": 1}),
        ({"transfer": {"a": "b", "b": "a"}, "a": 1, "b": 2}, {"b": 1, "a": 2}),
    ],
)
def test_keys_are_renamed(run: Run, data: Any, result: Any) -> None:
    assert run(builtin.key_map, data=data).result == result


@pytest.mark.parametrize(
    ("data", "message"),
    [
        ({}, "transfer"),
        ({"transfer": []}, "transfer"),
        ({"transfer": {"locaton": "x"}, "location": 1}, "did you mean 'location'"),
        ({"transfer": {"a": "b"}, "a": 1, "b": 2}, "two values"),
        ({"transfer": {"a": 7}, "a": 1}, "cannot be named 7"),
        ({"transfer": {"a": "b"}, "source": [1]}, "source"),
        ([], "dict"),
    ],
)
def test_keys_that_cannot_be_renamed_are_refused(run: Run, data: Any, message: str) -> None:
    assert message in said(run(builtin.key_map, data=data))


def test_given_keys_are_kept_and_no_others(run: Run) -> None:
    job = run(builtin.pluck_data, data={"keys": ["a", "b"], "a": 1, "b": None, "c": 3})

    assert job.result == {"a": 1, "b": None}


@pytest.mark.parametrize(
    "data", [{}, {"keys": []}, {"keys": [1]}, {"keys": {"a": 1}}, {"keys": ["x"] * 1001}]
)
def test_keys_that_are_no_list_of_keys_are_refused(run: Run, data: Any) -> None:
    assert "keys" in said(run(builtin.pluck_data, data=data))


def test_key_that_is_not_there_is_named_with_the_one_meant(run: Run) -> None:
    job = run(builtin.pluck_data, data={"keys": "titel", "source": {"title": "x"}})

    assert "'titel'; did you mean 'title'?" in said(job)


def test_errors_are_short_and_in_one_line_whatever_was_sent(run: Run) -> None:
    job = run(builtin.pluck_data, data={"keys": ["line\nbreak" * 1000], "a": 1})

    assert len(said(job)) < 200
    assert "\n" not in said(job)


def test_all_are_registered_by_their_names(tasks: Registry) -> None:
    builtin.register(tasks)

    assert sorted(tasks) == [
        "fetch", "get_hrefs", "key_map", "ping", "pluck_data", "targz", "untar", "word_count"
    ]  # fmt: skip


def test_one_is_registered_under_another_name(run: Run, tasks: Registry) -> None:
    tasks.task("pong")(builtin.ping)

    assert list(tasks) == ["pong"]


def test_options_take_the_place_of_the_defaults(tasks: Registry) -> None:
    options = Fetch(allow=("files.internal",))

    builtin.register(tasks, options, names=("fetch", "ping"))

    assert list(tasks) == ["fetch", "ping"]
    assert tasks["fetch"].function == options.run


@pytest.mark.parametrize(
    "register",
    [
        lambda tasks: builtin.register(tasks, names=("fetsch",)),
        lambda tasks: builtin.register(tasks, Untar(), names=("fetch",)),
        lambda tasks: builtin.register(tasks, Untar(), Untar()),
    ],
    ids=["unknown", "options of another", "options twice"],
)
def test_names_that_do_not_fit_are_refused_and_none_is_registered(
    tasks: Registry, register: Callable[[Registry], None]
) -> None:
    with pytest.raises(InvalidName):
        register(tasks)

    assert not tasks


def test_name_that_is_taken_is_refused_with_who_has_it(tasks: Registry) -> None:
    builtin.register(tasks)

    with pytest.raises(InvalidName, match=r"Fetch\.run"):
        builtin.register(tasks)


@pytest.mark.parametrize("options", [GetHrefs, WordCount])
def test_limit_of_none_is_refused(options: Any) -> None:
    with pytest.raises(InvalidData, match="max_bytes"):
        options(max_bytes=0)
