"""The task `targz`: packs files into an archive, with the same bytes for the same files."""

from __future__ import annotations

import gzip
import os
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, cast

from remotejob.builtin.fields import data_of, shown, text
from remotejob.builtin.files import inside, sources, whole
from remotejob.builtin.refusals import BadFile
from remotejob.domain.errors import InvalidData
from remotejob.tasks.compose import hand_on
from remotejob.tasks.running_job import RunningJob


@dataclass(frozen=True, kw_only=True, slots=True)
class TarGz:
    """The limits of an archive, which the operator sets when registering."""

    name: ClassVar[str] = "targz"

    max_files: int = 10_000
    max_bytes: int = 4 << 30
    """For all files together, before compression."""

    def __post_init__(self) -> None:
        for key in ("max_files", "max_bytes"):
            if getattr(self, key) < 1:
                raise InvalidData(f"TarGz({key}={getattr(self, key)!r}): use a number from 1")

    def run(self, job: RunningJob) -> dict[str, Any]:
        """Pack `location`, or the job's input, into `archive` ("archive.tar.gz").

        `location` names files and whole folders. Returns `location`, the name of the archive. It
        has names, sizes and contents but no owners, modes or times, so that the same files make
        the same archive.

        Raises: BadData; BadFile, when a file is a link, or the files exceed a limit.
        Source: forerunner, `lib/builtins/tasks/targz.js`.
        """
        data = data_of(job)
        archive = text(data, "archive", default="archive.tar.gz")
        folder = job.folder()
        to = inside(folder, archive)
        files = self._listed(folder, sources(job, data))
        with whole(to) as part:
            _pack(folder, files, part, check=job.check)
        hand_on(job, [archive])
        return {"location": archive}

    def _listed(self, folder: Path, given: list[Path]) -> list[Path]:
        """All files, once each, sorted by name.

        Raises: BadFile.
        """
        found: set[Path] = set()
        size = 0
        for path in (file for one in given for file in _files(one)):
            if path in found:
                continue
            found.add(path)
            size += path.stat().st_size
            if len(found) > self.max_files or size > self.max_bytes:
                raise BadFile(
                    f"more than {self.max_files} files or {self.max_bytes} bytes to pack; "
                    "the operator can set TarGz(max_files=..., max_bytes=...)"
                )
        return sorted(found, key=lambda path: path.relative_to(folder).as_posix())


def _files(path: Path) -> Iterator[Path]:
    if path.is_symlink() or not (path.is_file() or path.is_dir()):
        raise BadFile(
            f"{shown(path.name)} is a link or a special file: give only files and folders"
        )
    if path.is_file():
        yield path
        return
    with os.scandir(path) as entries:
        for entry in entries:
            yield from _files(Path(entry.path))


def _pack(folder: Path, files: list[Path], to: Path, *, check: Callable[[], None]) -> None:
    with (
        to.open("wb") as raw,
        # gzip's header must have no name or time either
        gzip.GzipFile(filename="", mode="wb", fileobj=raw, mtime=0, compresslevel=6) as zipped,
        tarfile.open(
            fileobj=cast("BinaryIO", zipped), mode="w|", format=tarfile.PAX_FORMAT
        ) as archive,
    ):
        for path in files:
            check()
            member = tarfile.TarInfo(path.relative_to(folder).as_posix())
            with path.open("rb") as file:
                member.size = os.fstat(file.fileno()).st_size
                member.mode = 0o644
                archive.addfile(member, file)
