"""The table of mutations: a TOML file for each section of docs/heritage.md."""

from __future__ import annotations

import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TABLES: Final = Path(__file__).parent
CHECKOUT: Final = TABLES.parent.parent

SECTIONS: Final = {
    "remotejob1": "remotejob 1",
    "remotejob2": "remotejob 2",
    "meteor_job": "meteor-job",
    "job_collection": "job-collection",
    "redis_dist_job_queue": "redis-dist-job-queue",
    "forerunner": "forerunner",
}
"""The section of the page that each file is about."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Mutation:
    """A change that breaks what a row claims."""

    section: str
    row: str
    """The row's first cell."""
    file: str
    """From the checkout."""
    find: str
    """Occurs once in the file."""
    replace: str
    caught_by: tuple[str, ...]
    """Tests that the row names: each must fail."""

    def __str__(self) -> str:
        return f"{self.section}: {self.row}: {self.file}: {self.replace.strip() or 'nothing'}"

    def applied_to(self, text: str) -> str:
        """The text of the file, changed. Raises: ValueError, unless what to change is there once.

        It raises too when the whole file would not be Python any more.
        """
        count = text.count(self.find)
        if count != 1:
            raise ValueError(f"{self}: {self.find!r} is there {count} times, and must be once")
        changed = text.replace(self.find, self.replace)
        if self.file.endswith(".py"):
            compile(changed, self.file, "exec")
        return changed


def read(paths: Iterable[Path] | None = None) -> list[Mutation]:
    """The mutations of these files; default all.

    Raises: KeyError and TypeError, when an entry lacks something or has too much.
    """
    found: list[Mutation] = []
    for path in paths or sorted(TABLES.glob("*.toml")):
        entries = tomllib.loads(path.read_text()).get("mutation", [])
        found += [
            Mutation(
                section=SECTIONS[path.stem],
                **{**entry, "caught_by": tuple(entry["caught_by"])},
            )
            for entry in entries
        ]
    return found


_SLOW: Final = ("tests/end_to_end/", "tests/local/", "tests/permissions/", "tests/stacks/")


def one_of_each_row(mutations: Iterable[Mutation]) -> list[Mutation]:
    """A mutation for each row: its first, or the first whose tests deploy and synthesize none."""
    chosen: dict[tuple[str, str], Mutation] = {}
    for one in sorted(mutations, key=_is_slow):
        chosen.setdefault((one.section, one.row), one)
    return list(chosen.values())


def _is_slow(mutation: Mutation) -> bool:
    return any(test.startswith(_SLOW) for test in mutation.caught_by)
