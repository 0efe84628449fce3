"""Reads a page as a reader would follow it: what to type, what to write, what to see.

A comment before a block, which no reader sees, says what the block alone does not:

    <!-- test: skip -->                       it needs what is not here: a registry, Docker, AWS
    <!-- test: second terminal -->            it runs until `<!-- test: end the second terminal -->`
    <!-- test: second terminal says -->       wait until the second terminal shows these lines
    <!-- test: exit 1 -->                     the last command ends with this status
    <!-- test: FILE from LINE -->             it replaces the rest of the file, from this line on
    <!-- test: add to FILE -->                it goes to the end of the file

Other blocks in `sh` are run, those in `text` are what the commands before them print, and those
whose first line is a comment with a path are files.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

ANYTHING: Final = "…"
"""Stands for lines, or for the rest of a line, that the page leaves out."""

_ORDER: Final = re.compile(r"<!-- test: (.+) -->")
_FENCE: Final = re.compile(r"```(\w+)")
_VARYING: Final = {
    "id": r"(?:b-)?01[0-9A-HJKMNP-TV-Z]{24}",
    "moment": r"\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d(?:\.\d+)?(?:\+\d\d:\d\d)?",
    "clock": r"\b\d\d:\d\d:\d\d\b",
    "scan": r"scan \d{3}\.pdf",
    "number": r"\b\d+\.\d+(?:e-\d+)?\b",
    "space": r"\s+",
}
"""What differs from one run to the next."""
_TOKEN: Final = re.compile("|".join(f"(?P<{name}>{each})" for name, each in _VARYING.items()))
_ID: Final = re.compile(_VARYING["id"])


@dataclass(frozen=True, kw_only=True, slots=True)
class Block:
    """A step of the page."""

    line: int
    """Where it is in the page, for messages."""
    language: str = ""
    order: str = ""
    text: str = ""

    @property
    def lines(self) -> list[str]:
        return self.text.splitlines()

    @property
    def file(self) -> str | None:
        """The path in its first line, if it is a whole file."""
        first = re.fullmatch(r"# ([\w./-]+\.(?:py|toml))", self.lines[0] if self.lines else "")
        return first[1] if first else None


def blocks(page: Path) -> Iterator[Block]:
    """The steps of a page, in order."""
    lines = enumerate(page.read_text(encoding="utf-8").splitlines(), start=1)
    order, asked = "", 0
    for number, line in lines:
        if said := _ORDER.fullmatch(line):
            order, asked = said[1], number
            if order == "end the second terminal":
                yield Block(line=number, order=order)
                order = ""
        elif opened := _FENCE.fullmatch(line):
            text = []
            for _, inside in lines:
                if inside == "```":
                    break
                text.append(inside)
            yield Block(line=number, language=opened[1], order=order, text="\n".join(text) + "\n")
            order = ""
        elif line and order:
            raise ValueError(f"{page}:{asked}: no block follows this comment")


def write(block: Block, folder: Path) -> None:
    """Write or change the file that a block shows, at once: nobody reads half of it."""
    if block.order.startswith("add to "):
        name = block.order.removeprefix("add to ")
        before = (folder / name).read_text(encoding="utf-8") + "\n"
    elif " from " in block.order:
        name, line = block.order.split(" from ", 1)
        before, found, _ = (folder / name).read_text(encoding="utf-8").partition(f"{line}\n")
        if not found:
            raise ValueError(f"line {block.line} of the page: {name} has no line {line}")
    elif block.file is not None:
        name, before = block.file, ""
    else:
        raise ValueError(f"line {block.line} of the page: no command, no output, and no file")
    made = folder / f"{name}.tmp"
    made.write_text(before + block.text, encoding="utf-8")
    made.replace(folder / name)


class Ids:
    """Which ids of this run stand for those of the page."""

    def __init__(self) -> None:
        self._real: dict[str, str] = {}

    def in_text(self, text: str) -> str:
        """The text with the ids of this run."""
        return _ID.sub(lambda found: self._real.get(found[0], found[0]), text)

    def learn(self, ids: Mapping[str, str]) -> None:
        self._real.update(ids)

    def match(self, expected: str, line: str) -> dict[str, str] | None:
        """The ids of a printed line by those of the page's, or None if it is another line."""
        pattern, ids = [], []
        end = 0
        for token in _TOKEN.finditer(expected):
            pattern.append(_literal(expected[end : token.start()]))
            end = token.end()
            kind = token.lastgroup or ""
            if kind == "id" and (known := self._real.get(token[0])):
                pattern.append(known)
            elif kind == "id":
                ids.append(token[0])
                pattern.append(f"({_VARYING['id']})")
            else:
                pattern.append(_VARYING[kind])
        pattern.append(_literal(expected[end:]))
        found = re.fullmatch("".join(pattern), line.rstrip())
        return None if found is None else dict(zip(ids, found.groups(), strict=True))


def _literal(text: str) -> str:
    return re.escape(text).replace(re.escape(ANYTHING), ".*")


def compare(expected: list[str], printed: list[str], ids: Ids) -> str | None:
    """What is wrong with what was printed, or None; learns the ids that match."""
    learnt: dict[str, str] = {}
    at, skipping = 0, False
    for line in expected:
        if line.strip() == ANYTHING:
            skipping = True
            continue
        while True:
            if at == len(printed):
                return f"nowhere: {line!r}"
            found = ids.match(line, printed[at])
            at += 1
            if found is not None:
                learnt |= found
                break
            if not skipping:
                return f"expected {line!r}, printed {printed[at - 1]!r}"
        skipping = False
    if at < len(printed) and not skipping:
        return f"printed besides: {printed[at]!r}"
    ids.learn(learnt)
    return None
