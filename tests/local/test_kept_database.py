"""The file with the kept data: all of a save or nothing, and one line where it cannot be used."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from remotejob.local.errors import StateUnusable
from remotejob.local.keeping.database import FORMAT, Database
from remotejob.local.keeping.objects import Version

NOTHING: dict[str, Any] = {"items": (), "messages": (), "objects": ()}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "data.sqlite3"


def test_a_save_that_fails_half_way_changes_nothing(file: Path) -> None:
    database = Database(file)
    database.save(at_ms=1, **{**NOTHING, "items": [(("table", "a"), "first")]})

    def failing() -> Iterator[Any]:
        yield ("table", "a"), "second"
        raise OSError("no room")

    with pytest.raises(OSError, match="no room"):
        database.save(at_ms=2, **{**NOTHING, "items": failing()})
    database.close()

    again = Database(file)
    assert list(again.items("table")) == ["first"]
    assert again.saved_ms() == 1
    again.close()


def test_what_an_object_had_before_is_named_once_it_has_it_no_more(file: Path) -> None:
    def version(name: str | None) -> Version:
        return Version(content=name, size=1, description={})

    database = Database(file)
    place = ("bucket", "odd\ud800\x00key")
    first = database.save(at_ms=1, **{**NOTHING, "objects": [(place, [version("one")])]})
    second = database.save(
        at_ms=2, **{**NOTHING, "objects": [(place, [version("two"), version(None)])]}
    )

    assert (first, second) == (set(), {"one"})
    assert database.contents() == {"two"}
    ((key, versions),) = database.objects("bucket")
    assert (key, [one.content for one in versions]) == (place[1], ["two", None])
    assert database.count("objects") == {"bucket": 1}
    database.close()


def test_messages_come_back_in_the_order_in_which_they_were_sent(file: Path) -> None:
    database = Database(file)
    sent = [
        (("queue", name), (at, f'{{"id": "{name}"}}'))
        for name, at in (("b", 2), ("a", 3), ("c", 1))
    ]
    database.save(at_ms=1, **{**NOTHING, "messages": sent})
    database.save(at_ms=2, **{**NOTHING, "messages": [(("queue", "a"), None)]})

    assert [message["id"] for message in database.messages("queue")] == ["c", "b"]
    database.close()


@pytest.mark.parametrize(
    ("written", "told"),
    [
        (b"not a database" * 100, "are damaged (file is not a database)"),
        (b"SQLite format 3\0" + b"\x07" * 4096, "are damaged ("),
    ],
)
def test_a_damaged_file_is_refused_in_one_line_and_left_alone(
    file: Path, written: bytes, told: str
) -> None:
    file.write_bytes(written)

    with pytest.raises(StateUnusable) as refused:
        Database(file)

    assert told in str(refused.value)
    assert "remotejob local --fresh" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert file.read_bytes() == written


def test_a_file_with_a_damaged_page_is_refused(file: Path) -> None:
    database = Database(file)
    many = [(("table", str(number)), "x" * 1000) for number in range(100)]
    database.save(at_ms=1, **{**NOTHING, "items": many})
    database.close()
    whole = file.read_bytes()
    file.write_bytes(whole[:20_000] + b"\x07" * 20_000 + whole[40_000:])

    with pytest.raises(StateUnusable, match="are damaged"):
        Database(file)


def test_a_file_of_another_format_is_refused_and_left_alone(file: Path) -> None:
    with sqlite3.connect(file) as made:
        made.execute("CREATE TABLE meta (name TEXT PRIMARY KEY, value)")
        made.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT + 1,))
    made.close()
    before = file.read_bytes()

    with pytest.raises(StateUnusable, match=f"have format {FORMAT + 1}, .* knows only {FORMAT};"):
        Database(file)

    assert file.read_bytes() == before


def test_a_file_whose_maker_was_killed_at_once_is_new(file: Path) -> None:
    file.touch()

    assert Database(file).saved_ms() is None
