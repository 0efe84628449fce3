"""What a tool found in a template, and what is accepted, with the reason."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Final

ACCEPTED: Final = Path(__file__).parent / "accepted.toml"


@dataclass(frozen=True, kw_only=True, slots=True)
class Found:
    """One finding."""

    rule: str
    stage: str
    resource: str
    """Type and logical id, `AWS::SQS::Queue.Lane`."""
    said: str

    def __str__(self) -> str:
        return f"{self.rule}: {self.stage}: {self.resource}: {self.said}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Accepted:
    """Findings that are no faults."""

    rule: str
    resources: str
    """A pattern of resources, as of file names."""
    because: str

    def covers(self, found: Found) -> bool:
        return self.rule == found.rule and fnmatchcase(found.resource, self.resources)


def accepted(file: Path = ACCEPTED) -> tuple[Accepted, ...]:
    """What the file accepts.

    Raises: ValueError, for an entry without a reason.
    """
    entries = tomllib.loads(file.read_text(encoding="utf-8"))["accepted"]
    for entry in entries:
        if not entry.get("because", "").strip():
            raise ValueError(f"{file}: {entry} has no reason: say `because`")
    return tuple(Accepted(**entry) for entry in entries)


def judge(found: Iterable[Found], known: Iterable[Accepted]) -> list[str]:
    """What is not accepted, and which entries accept nothing any more."""
    found, known = list(found), list(known)
    problems = [str(one) for one in found if not any(each.covers(one) for each in known)]
    problems += [
        f"accepted.toml accepts {each.rule} of {each.resources}, which nothing finds: remove it"
        for each in known
        if not any(each.covers(one) for one in found)
    ]
    return problems
