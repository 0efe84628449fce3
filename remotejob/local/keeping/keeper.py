"""Saves what changes, twice a second, and puts it back at the next start."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Final

from moto.dynamodb.models import dynamodb_backends
from moto.s3.models import s3_backends
from moto.sqs.models import sqs_backends

from remotejob.local import private_files
from remotejob.local.access.identity import PARTITION
from remotejob.local.gaps.sqs import messages_of
from remotejob.local.keeping import changes, folder, items, messages, objects
from remotejob.local.keeping.contents import Contents
from remotejob.local.keeping.database import Database
from remotejob.local.keeping.journal import Batch, Journal
from remotejob.local.keeping.kept import Aside, Kept

_LOG = logging.getLogger(__name__)
_INTERVAL_S: Final = 0.5


class Keeper:
    """Keeps the data of one account and region in a folder."""

    def __init__(self, place: Path, *, account: str, region: str, begin: folder.Begin) -> None:
        """Take the folder, and open what is kept there.

        Raises: StateUnusable, when it is in use, damaged or of another version; NotPrivate.
        """
        self._tables = dynamodb_backends[account][region]
        self._queues = sqs_backends[account][region]
        self._buckets = s3_backends[account][PARTITION]
        self._journal = Journal()
        self._saving = threading.Lock()
        self._ending = threading.Event()
        self._begun: set[tuple[str, str]] = set()
        self.trouble: str | None = None
        """Why changes cannot be saved for now; None if they can."""
        with ExitStack() as stack:
            stack.enter_context(folder.locked(place))
            data = folder.data_folder(place, begin)
            private_files.make_folder(data / "contents")
            self._contents = Contents(data / "contents")
            self._database = Database(data / "data.sqlite3")
            stack.callback(self._database.close)
            self._contents.remove_all_but(self._database.contents())
            self._open = stack.pop_all()
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def begin(
        self, *, tables: Sequence[str], queues: Sequence[str], buckets: Sequence[str]
    ) -> Kept:
        """Put back what is kept of these, and keep their changes from now on.

        Raises: StateUnusable, when something cannot be read.
        """
        with self._saving:
            try:
                return self._begin(tables, queues, buckets)
            except (sqlite3.Error, ValueError, KeyError, TypeError) as problem:
                _LOG.exception("the kept data cannot be read")
                raise self._database.damaged(problem) from None

    def _begin(self, tables: Sequence[str], queues: Sequence[str], buckets: Sequence[str]) -> Kept:
        saved_ms, complete = self._database.saved_ms(), self._database.complete()
        first = not self._begun
        self._begun |= {
            *(("items", name) for name in tables),
            *(("objects", name) for name in buckets),
            *(("messages", name) for name in queues),
        }
        # before anything is put back: what others write meanwhile is kept, too
        self._journal.keep(tables=tables, queues=queues, buckets=buckets)
        if first:
            changes.report_to(self._journal)
        put_back: Counter[str] = Counter()
        unfit: Counter[str] = Counter()
        for name in tables:
            table = self._tables.get_table(name)
            loaded, left = items.load(table, self._database.items(name), self._journal)
            put_back["items"] += loaded
            unfit[name] = left
        for name in buckets:
            put_back += self._load_objects(name)
        # last: once there are messages, work begins
        for name in queues:
            put_back["messages"] += self._load_messages(name)
        if first:
            self._thread.start()
        return Kept(
            items=put_back["items"],
            objects=put_back["objects"],
            messages=put_back["messages"],
            without_content=put_back["without content"],
            aside=tuple(self._aside(+unfit)),
            saved_ms=saved_ms,
            complete=complete,
        )

    def save(self) -> None:
        """Write everything that has changed. Raises: OSError or sqlite3.Error; then nothing is
        lost, and the next save writes it."""
        with self._saving:
            batch = self._journal.cut()
            if not batch:
                return
            try:
                self._write(batch)
            except BaseException:
                self._journal.put_back(batch)
                raise

    def close(self) -> None:
        """Save the last changes and let the folder go. Make no more changes before."""
        self._ending.set()
        if self._begun:
            self._thread.join()
            self.save()
            self._database.mark_complete()
        self._open.close()

    def _run(self) -> None:
        while not self._ending.wait(_INTERVAL_S):
            try:
                self.save()
                self.trouble = None
            except Exception as problem:  # noqa: BLE001  (a disk that is full now may have room later)
                if self.trouble is None:
                    _LOG.exception("the data are not kept for now")
                self.trouble = str(problem)

    def _write(self, batch: Batch) -> None:
        at_ms = int(time.time() * 1000)
        found = {}
        # after the cut: an object may be newer than the records that name it, never older
        for bucket, key in batch.objects:
            versions = self._versions(bucket, key)
            if versions is not None:
                found[bucket, key] = versions
        unused = self._database.save(
            at_ms=at_ms,
            items=(
                ((table, items.place_text(place)), None if item is None else items.text(item))
                for (table, place), item in batch.items.items()
            ),
            messages=(
                (place, None if row is None else row.saved())
                for place, row in batch.messages.items()
            ),
            objects=found.items(),
        )
        self._contents.remove(unused)

    def _versions(self, bucket: str, key: str) -> list[objects.Version] | None:
        found = self._buckets.buckets.get(bucket)
        if found is None:
            return []
        return objects.versions(self._buckets, found, key, self._contents)

    def _load_objects(self, name: str) -> Counter[str]:
        counts: Counter[str] = Counter()
        bucket = self._buckets.get_bucket(name)
        for key in list(bucket.keys):
            self._journal.object(name, key)
        for key, rows in self._database.objects(name):
            whole = objects.load(self._buckets, bucket, key, rows, self._contents)
            counts.update({"objects": 1, "without content": int(not whole)})
        return counts

    def _load_messages(self, name: str) -> int:
        queue = messages_of(self._queues.get_queue(name))
        found = [messages.message_of(content) for content in self._database.messages(name)]
        with queue.condition:
            for message in queue:
                self._journal.message(name, message, returns_at=0)
            for message in found:
                queue.restore(message)
        return len(found)

    def _aside(self, unfit: Counter[str]) -> Iterator[Aside]:
        for kind in ("items", "objects", "messages"):
            for holder, count in self._database.count(kind).items():
                if (kind, holder) not in self._begun:
                    yield Aside(kind=kind, holder=holder, count=count)
                elif kind == "items" and unfit[holder]:
                    yield Aside(kind=kind, holder=holder, count=unfit[holder])
