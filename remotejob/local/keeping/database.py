"""The kept data in a SQLite file: rows of items, messages and objects.

Every save is one transaction, so that the file has either all of it or nothing, however the process
ends. Written ahead (WAL), with no wait for the disk: after a power cut, the last saves may be
missing, and the file is still whole. Source: SQLite, "Write-Ahead Logging", PRAGMA synchronous.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any, Final

from remotejob.local.errors import StateUnusable
from remotejob.local.keeping.objects import Version

FORMAT: Final = 1
_TABLES: Final = """
CREATE TABLE meta (name TEXT PRIMARY KEY, value) WITHOUT ROWID;
CREATE TABLE items (holder TEXT, place TEXT, item TEXT, PRIMARY KEY (holder, place));
CREATE TABLE messages (holder TEXT, id TEXT, sent_ms INTEGER, content TEXT,
                       PRIMARY KEY (holder, id));
CREATE TABLE objects (holder TEXT, key BLOB, number INTEGER, content TEXT, size INTEGER,
                      description TEXT, PRIMARY KEY (holder, key, number));
"""
_REMEDY: Final = "begin empty with `remotejob local --fresh`, which moves them aside"
Place = tuple[str, str]


class Database:
    """The file. Only one thread at a time may use it."""

    def __init__(self, path: Path) -> None:
        """Open the file, or make a new one.

        Raises: StateUnusable, when it is damaged or of another format.
        """
        self._path = path
        self._file = sqlite3.connect(path, isolation_level=None, check_same_thread=False)
        try:
            # no table at all: a new file, or one whose maker was killed at once
            if not self._file.execute("SELECT COUNT(*) FROM sqlite_master").fetchone()[0]:
                self._file.executescript(f"BEGIN; {_TABLES}")
                self._file.execute("INSERT INTO meta VALUES ('format', ?)", (FORMAT,))
                self._file.execute("COMMIT")
            self._check()
            written = self._meta("format")
            if written == FORMAT:
                self._file.execute("PRAGMA journal_mode = WAL")
                self._file.execute("PRAGMA synchronous = NORMAL")
        except sqlite3.DatabaseError as problem:
            self._file.close()
            raise self.damaged(problem) from None
        if written != FORMAT:
            self._file.close()
            raise StateUnusable(
                f"the kept data in {path} have format {str(written)[:200]}, and this version of "
                f"remotejob knows only {FORMAT}; use the version that wrote them, or {_REMEDY}"
            )

    def _check(self) -> None:
        (found,) = self._file.execute("PRAGMA quick_check(1)").fetchone()
        if found != "ok":
            raise sqlite3.DatabaseError(str(found).splitlines()[-1])

    def damaged(self, problem: Exception) -> StateUnusable:
        """The error for a file that cannot be read."""
        shown = " ".join(str(problem).split())[:200]
        return StateUnusable(f"the kept data in {self._path} are damaged ({shown}); {_REMEDY}")

    def saved_ms(self) -> int | None:
        """When the last save was, Unix time; None if there was none."""
        saved: int | None = self._meta("saved_ms")
        return saved

    def save(
        self,
        *,
        at_ms: int,
        items: Iterable[tuple[Place, str | None]],
        messages: Iterable[tuple[Place, tuple[int, str] | None]],
        objects: Iterable[tuple[tuple[str, str], list[Version]]],
    ) -> set[str]:
        """Write changes in one transaction; return the names of contents that no object has now.

        Raises: sqlite3.Error, when nothing was written.
        """
        unused: set[str] = set()
        with closing(self._file.cursor()) as cursor:
            cursor.execute("BEGIN IMMEDIATE")
            try:
                _write_items(cursor, items)
                _write_messages(cursor, messages)
                for (bucket, key), found in objects:
                    unused |= _write_object(cursor, bucket, key, found)
                cursor.execute("INSERT OR REPLACE INTO meta VALUES ('saved_ms', ?)", (at_ms,))
                cursor.execute("DELETE FROM meta WHERE name = 'complete'")
                cursor.execute("COMMIT")
            except BaseException:
                cursor.execute("ROLLBACK")
                raise
        return unused

    def items(self, table: str) -> Iterator[str]:
        """The items of a table, as text."""
        found = self._file.execute("SELECT item FROM items WHERE holder = ?", (table,))
        return (item for (item,) in found)

    def messages(self, queue: str) -> Iterator[dict[str, Any]]:
        """The messages of a queue, the oldest first."""
        query = "SELECT content FROM messages WHERE holder = ? ORDER BY sent_ms"
        return (json.loads(content) for (content,) in self._file.execute(query, (queue,)))

    def objects(self, bucket: str) -> Iterator[tuple[str, list[Version]]]:
        """The objects of a bucket by key, each with its versions, the oldest first."""
        query = (
            "SELECT key, content, size, description FROM objects WHERE holder = ? "
            "ORDER BY key, number"
        )
        key: bytes | None = None
        found: list[Version] = []
        for next_key, content, size, description in self._file.execute(query, (bucket,)):
            if next_key != key and key is not None:
                yield _key_text(key), found
                found = []
            key = next_key
            found.append(Version(content=content, size=size, description=json.loads(description)))
        if key is not None:
            yield _key_text(key), found

    def contents(self) -> set[str]:
        """The names of all contents that some object has."""
        found = self._file.execute("SELECT content FROM objects WHERE content IS NOT NULL")
        return {name for (name,) in found}

    def count(self, kind: str) -> dict[str, int]:
        """How many "items", "messages" or "objects" each table, queue or bucket has."""
        counted = "COUNT(DISTINCT key)" if kind == "objects" else "COUNT(*)"
        query = f"SELECT holder, {counted} FROM {kind} GROUP BY holder"  # noqa: S608 (our own names)
        return dict(self._file.execute(query).fetchall())

    def complete(self) -> bool:
        """Whether the last save was the last of a server that ended in order."""
        return bool(self._meta("complete"))

    def mark_complete(self) -> None:
        """Note that nothing will change after the last save."""
        self._file.execute("INSERT OR REPLACE INTO meta VALUES ('complete', 1)")

    def close(self) -> None:
        """Close the file."""
        self._file.close()

    def _meta(self, name: str) -> Any:
        found = self._file.execute("SELECT value FROM meta WHERE name = ?", (name,)).fetchone()
        return found[0] if found else None


def _write_items(cursor: sqlite3.Cursor, items: Iterable[tuple[Place, str | None]]) -> None:
    for place, item in items:
        if item is None:
            cursor.execute("DELETE FROM items WHERE holder = ? AND place = ?", place)
        else:
            cursor.execute("INSERT OR REPLACE INTO items VALUES (?, ?, ?)", (*place, item))


def _write_messages(
    cursor: sqlite3.Cursor, messages: Iterable[tuple[Place, tuple[int, str] | None]]
) -> None:
    for place, row in messages:
        if row is None:
            cursor.execute("DELETE FROM messages WHERE holder = ? AND id = ?", place)
        else:
            cursor.execute("INSERT OR REPLACE INTO messages VALUES (?, ?, ?, ?)", (*place, *row))


def _write_object(
    cursor: sqlite3.Cursor, bucket: str, key: str, versions: list[Version]
) -> set[str]:
    place = (bucket, _key_bytes(key))
    before = cursor.execute(
        "SELECT content FROM objects WHERE holder = ? AND key = ? AND content IS NOT NULL", place
    ).fetchall()
    cursor.execute("DELETE FROM objects WHERE holder = ? AND key = ?", place)
    for number, version in enumerate(versions):
        cursor.execute(
            "INSERT INTO objects VALUES (?, ?, ?, ?, ?, ?)",
            (*place, number, version.content, version.size, json.dumps(version.description)),
        )
    return {name for (name,) in before} - {version.content for version in versions}


def _key_bytes(key: str) -> bytes:
    # a key is any text, and SQLite's text is not
    return key.encode("utf-8", "surrogatepass")


def _key_text(key: bytes) -> str:
    return key.decode("utf-8", "surrogatepass")
