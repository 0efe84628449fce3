"""The task `untar`: unpacks an archive that may be hostile."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO, ClassVar, Final

from remotejob.builtin.compressed import Decompressed, compression_of
from remotejob.builtin.fields import data_of, shown, text
from remotejob.builtin.files import inside, one_source
from remotejob.builtin.refusals import BadData, BadFile
from remotejob.builtin.tarstream import BLOCK, Source, Stream, is_header, members, padded
from remotejob.domain.errors import InvalidData, InvalidName
from remotejob.domain.name_rules import check_output_name
from remotejob.tasks.compose import hand_on
from remotejob.tasks.running_job import RunningJob

_PIECE: Final = 1 << 16
_ALWAYS_ALLOWED: Final = 1 << 20
"""Bytes that may be unpacked at any ratio: tar pads even the smallest archive to 10 KB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Untar:
    """The limits of an archive, which the operator sets when registering."""

    name: ClassVar[str] = "untar"

    max_members: int = 10_000
    """Files and folders."""
    max_bytes: int = 4 << 30
    """For the decompressed archive."""
    max_ratio: int = 200
    """Decompressed bytes for each byte of the archive."""
    max_depth: int = 20
    """Parts of a name."""

    def __post_init__(self) -> None:
        for key in ("max_members", "max_bytes", "max_ratio", "max_depth"):
            if getattr(self, key) < 1:
                raise InvalidData(f"Untar({key}={getattr(self, key)!r}): use a number from 1")

    def run(self, job: RunningJob) -> dict[str, Any]:
        """Unpack a tar archive into the folder `into` ("unpacked").

        It may be plain, or compressed with gzip, bzip2 or xz. What follows its end is ignored, as
        tar does, with a warning in the job's log unless it is only padding.

        Works on `location` or the job's input. Returns `location`, the names of the files in the
        run's folder. Modes, owners and times are ignored.

        Raises: BadData; BadFile, when the archive is damaged, exceeds a limit, or has members that
        are not files or folders, or lie outside it. Then nothing is unpacked.
        """
        data = data_of(job)
        archive = one_source(job, data)
        into = text(data, "into", default="unpacked").rstrip("/")
        folder = job.folder()
        to = inside(folder, into)
        if to.exists():
            raise BadData(
                f"into={shown(into)} already exists in the run's folder: choose another name"
            )
        to.parent.mkdir(parents=True, exist_ok=True)
        # renamed to `to` only when all is well
        part = Path(tempfile.mkdtemp(prefix=".unpacking-", dir=folder))
        try:
            names = self._unpack(archive, part, job)
            kept = [f"{into}/{name}" for name in names]
            for name in kept:
                inside(folder, name)
            part.rename(to)
        except BaseException:
            shutil.rmtree(part, ignore_errors=True)
            raise
        hand_on(job, kept)
        return {"location": kept}

    def _unpack(self, archive: Path, to: Path, job: RunningJob) -> list[str]:
        allowed = max(_ALWAYS_ALLOWED, archive.stat().st_size * self.max_ratio)
        by_ratio = allowed < self.max_bytes
        remedy = (
            f"{self.max_ratio} times its own size; the operator can set Untar(max_ratio=...)"
            if by_ratio
            else f"{self.max_bytes} bytes; the operator can set Untar(max_bytes=...)"
        )
        names = _Names(max_members=self.max_members, max_depth=self.max_depth)
        with archive.open("rb") as raw:
            source = _source(raw, check=job.check)
            stream = Stream(source, most=min(allowed, self.max_bytes), remedy=remedy)
            for member in members(stream):
                job.check()
                name = names.admit(member.name, is_folder=member.is_folder)
                if name is None:
                    continue
                path = to / name
                if member.is_folder:
                    path.mkdir(parents=True, exist_ok=True)
                    continue
                path.parent.mkdir(parents=True, exist_ok=True)
                with path.open("xb") as file:
                    _copy(stream, file, member.size, check=job.check)
            more = False
            while piece := stream.read_some(_PIECE):  # up to the checksum at the end
                job.check()
                more = more or any(piece)
        if more or (isinstance(source, Decompressed) and source.more):
            job.log(
                "more bytes follow the end of the archive and are ignored, as tar ignores them; "
                "if they are another archive, send it in a job of its own",
                level="warning",
            )
        return names.files


class _Names:
    """Checks the names of an archive's members, and remembers them."""

    def __init__(self, *, max_members: int, max_depth: int) -> None:
        self._max_members: Final = max_members
        self._max_depth: Final = max_depth
        self._count = 0
        self._folders: set[str] = set()
        self._all: set[str] = set()
        self.files: list[str] = []

    def admit(self, given: str, *, is_folder: bool) -> str | None:
        """The member's name without `./`; None for the archive's root.

        Raises: BadFile.
        """
        self._count += 1
        if self._count > self._max_members:
            raise BadFile(
                f"the archive has more than {self._max_members} members; "
                "the operator can set Untar(max_members=...)"
            )
        if given.startswith("/") or "\\" in given:
            raise BadFile(
                f"the archive names {shown(given)}: names must be relative, without backslashes"
            )
        bare = given[:-1] if is_folder and given.endswith("/") else given
        parts = [part for part in bare.split("/") if part != "."]
        if not parts and is_folder:
            return None
        if len(parts) > self._max_depth:
            raise BadFile(
                f"{shown(given)} is more than {self._max_depth} folders deep; "
                "the operator can set Untar(max_depth=...)"
            )
        name = "/".join(parts)
        try:
            check_output_name(name)
        except InvalidName as problem:
            raise BadFile(f"the archive names {shown(given)}: {shown(str(problem))}") from None
        self._remember(name, parts, is_folder=is_folder)
        return name

    def _remember(self, name: str, parts: list[str], *, is_folder: bool) -> None:
        above = {"/".join(parts[:depth]) for depth in range(1, len(parts))}
        taken = name in self._all or (name in self._folders and not is_folder)
        if taken or any(folder in self._all and folder not in self._folders for folder in above):
            raise BadFile(f"the archive has {shown(name)} twice, or as a file and a folder")
        self._all.add(name)
        self._folders |= above
        if is_folder:
            self._folders.add(name)
        else:
            self.files.append(name)


def _source(raw: BinaryIO, *, check: Callable[[], None]) -> Source:
    """The archive's own bytes, decompressed if need be."""
    start = raw.read(BLOCK)
    raw.seek(0)
    # a header comes first: a plain archive's first bytes are a name, and that may be BZh.txt
    compression = None if is_header(start) else compression_of(start)
    return raw if compression is None else Decompressed(raw, compression, check=check)


def _copy(stream: Stream, file: BinaryIO, size: int, *, check: Callable[[], None]) -> None:
    left = size
    while left:
        check()
        piece = stream.read(min(left, _PIECE))
        file.write(piece)
        left -= len(piece)
    stream.read(padded(size) - size)
