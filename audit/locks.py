"""The check of a lock file: `python -m audit.locks FILE`; exits with 1 if a line may change.

uv's own check, `--require-hashes`, refuses every package from git. Here its commit is its hash: git
names a commit by a digest of all its files and of its history. The command prints the options with
which uv then installs the lock.

Standard library only: the image's build and the Makefile run it before anything is installed.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from audit.problem import AuditProblem

_REQUIREMENT: Final = re.compile(
    r"(?P<name>[A-Za-z0-9][\w.-]*)\s*(?:\[[^\]]*\])?\s*(?P<sign>==|@)\s*(?P<what>\S+)"
)
_HASH: Final = re.compile(r"\s--hash=sha(?:256:[0-9a-f]{64}|384:[0-9a-f]{96}|512:[0-9a-f]{128})\b")
_COMMIT: Final = re.compile(r"@(?P<commit>[0-9a-f]{40}|[0-9a-f]{64})(?:#\S*)?$")
_LOGIN: Final = re.compile(r"(?<=://)[^/@\s]+@")
_SHOWN: Final = 200


@dataclass(frozen=True, kw_only=True, slots=True)
class Locked:
    """One package of a lock, with all its lines."""

    name: str
    text: str
    commit: str | None = None
    """The commit, of a package from git."""


def read_lock(lock: Path) -> tuple[Locked, ...]:
    """The packages of a lock.

    Raises: AuditProblem, for a line without hashes, or from git and not at a commit.
    """
    try:
        text = lock.read_text(encoding="utf-8")
    except OSError as problem:
        raise AuditProblem(f"{lock} cannot be read: {problem.strerror}; run `make lock`") from None
    return tuple(_locked(f"{lock}, line {number}", entry) for number, entry in _entries(text))


def options(lock: Path) -> tuple[str, ...]:
    """What `uv pip sync` is to be called with for this lock. Raises: AuditProblem.

    A package from git is built here, by one more package. If the lock has that one, too, uv takes
    it only with one of the lock's hashes.
    """
    built = [each.name for each in read_lock(lock) if each.commit is not None]
    if not built:
        return ("--require-hashes",)
    named = [part for name in built for part in ("--no-binary", name)]
    return ("--verify-hashes", "--build-constraints", str(lock), *named)


def _entries(text: str) -> list[tuple[int, str]]:
    """Each requirement with its first line's number, and its continuation lines joined."""
    entries: list[tuple[int, str]] = []
    continued = False
    for number, line in enumerate(text.splitlines(), start=1):
        content = re.sub(r"(?:^|\s)#.*$", "", line).strip()
        part = content.removesuffix("\\").strip()
        if continued:
            first, begun = entries[-1]
            entries[-1] = (first, f"{begun} {part}")
        elif part:
            entries.append((number, part))
        continued = content.endswith("\\")
    return entries


def _locked(place: str, text: str) -> Locked:
    shown = _LOGIN.sub("", text)[:_SHOWN]
    found = _REQUIREMENT.match(text)
    if found is None:
        raise AuditProblem(
            f"{place}: {shown!r} is no package with its version; `make lock` writes this file"
        )
    name, from_git = found["name"], found["sign"] == "@" and found["what"].startswith("git+")
    if from_git:
        at = _COMMIT.search(found["what"])
        if at is None:
            raise AuditProblem(
                f"{place}: {shown!r} is not at a commit, and a branch or a tag can move;"
                " `make lock` writes the commit, all its digits, in its place"
            )
        return Locked(name=name, text=text, commit=at["commit"])
    if not _HASH.search(text):
        raise AuditProblem(f"{place}: {shown!r} has no hash; `make lock` writes it")
    return Locked(name=name, text=text)


def main(arguments: Sequence[str] | None = None) -> int:
    """Check one lock, and print uv's options for it."""
    (lock,) = sys.argv[1:] if arguments is None else arguments
    try:
        print(*options(Path(lock)))
    except AuditProblem as problem:
        print(f"the lock is refused: {problem}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
