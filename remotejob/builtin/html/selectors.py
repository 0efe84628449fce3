"""Finds the elements of a page by CSS selectors, in one pass over its tags.

Supported: names, `#id`, `.class`, `[attribute]`, `[attribute=value]` and `*`, joined by space or
`>`, listed with commas. Nothing else, so the time is the page's length times that of the selectors.
Source: W3C Selectors Level 4, 5, 6.1, 6.6, 6.7 and 15.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from remotejob.builtin.fields import shown
from remotejob.builtin.html.markup import Tag, tags
from remotejob.builtin.refusals import BadData, BadFile

_LONGEST_SELECTOR: Final = 300
_DEEPEST: Final = 512

_NAME: Final = r"-?[A-Za-z_][\w-]*"
_PIECE: Final = re.compile(
    rf"(?P<any>\*)|(?P<tag>{_NAME})|#(?P<id>{_NAME})|\.(?P<class>{_NAME})"
    rf"|\[(?P<has>{_NAME})(?:=(?:\"(?P<double>[^\"]*)\"|'(?P<single>[^']*)'|(?P<bare>[\w-]+)))?\]"
)
_JOIN: Final = re.compile(r"\s*>\s*|\s+")

_VOID: Final = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()  # noqa: SIM905
)
_ENDED_BY: Final = {
    "li": {"li"},
    "dt": {"dt", "dd"},
    "dd": {"dt", "dd"},
    "tr": {"td", "th", "tr"},
    "td": {"td", "th"},
    "th": {"td", "th"},
    "option": {"option"},
} | {name: {"p"} for name in ("p", "div", "ul", "ol", "table", "h1", "h2", "h3", "section")}
"""Which open elements a start tag closes, because authors may omit their end tags."""


@dataclass(frozen=True, kw_only=True, slots=True)
class _Compound:
    """The conditions on one element."""

    tag: str | None
    wanted: tuple[tuple[str, str | None], ...]
    """Attributes, and their values unless any value will do."""
    classes: frozenset[str]
    child: bool
    """Whether it must be a child of the previous element, not just a descendant."""

    def fits(self, tag: Tag) -> bool:
        given = tag.attributes
        return (
            self.tag in (None, tag.name)
            and all(key in given and value in (None, given[key]) for key, value in self.wanted)
            and self.classes <= set(given.get("class", "").split())
        )


Selector = tuple[tuple[_Compound, ...], ...]
"""Alternatives, each a chain from the outermost element to the selected one."""


@dataclass(slots=True)
class _Found:
    """A selected element and the text read from it so far."""

    pieces: list[str] = field(default_factory=list)


@dataclass(frozen=True, kw_only=True, slots=True)
class _Open:
    """An element whose end tag has not been read."""

    name: str
    here: tuple[int, ...]
    """For each chain, a bit for every prefix of it that ends at this element."""
    above: tuple[int, ...]
    """The same for this element and all its ancestors together."""
    outside: int
    """How many selected elements are open around this one."""


def parse(text: str) -> Selector:
    """Parse a selector. Raises: BadData."""
    if len(text) > _LONGEST_SELECTOR:
        raise BadData(
            f"selector {shown(text)} is too long: use at most {_LONGEST_SELECTOR} characters"
        )
    chains: list[tuple[_Compound, ...]] = []
    for alternative in text.split(","):
        rest = alternative.strip()
        chain: list[_Compound] = []
        joined = " "
        while rest:
            compound, rest = _compound(rest, text, child=">" in joined)
            chain.append(compound)
            join = _JOIN.match(rest)
            joined = join[0] if join else ""
            rest = rest[len(joined) :]
            if bool(rest) != bool(joined):
                raise _unread(text)
        if not chain:
            raise _unread(text)
        chains.append(tuple(chain))
    return tuple(chains)


def _compound(rest: str, whole: str, *, child: bool) -> tuple[_Compound, str]:
    tag: str | None = None
    wanted: list[tuple[str, str | None]] = []
    classes: set[str] = set()
    begun = rest
    while piece := _PIECE.match(rest):
        if piece["tag"] or piece["any"]:
            if rest is not begun:
                raise _unread(whole)
            tag = piece["tag"] and piece["tag"].lower()
        elif piece["class"]:
            classes.add(piece["class"])
        elif piece["id"]:
            wanted.append(("id", piece["id"]))
        else:
            values = (piece["double"], piece["single"], piece["bare"])
            wanted.append(
                (piece["has"].lower(), next((value for value in values if value is not None), None))
            )
        rest = rest[piece.end() :]
    if rest is begun:
        raise _unread(whole)
    return (
        _Compound(tag=tag, wanted=tuple(wanted), classes=frozenset(classes), child=child),
        rest,
    )


def _unread(text: str) -> BadData:
    return BadData(
        f"selector {shown(text)} is not understood: use names, #id, .class, [attribute], "
        "[attribute=value] and *, joined by space or >, listed with commas"
    )


class Texts:
    """Collects the texts of the elements that each selector finds, in page order."""

    def __init__(self, selectors: list[Selector], *, max_matches: int, max_text: int) -> None:
        self._chains: Final = [
            (number, chain) for number, selector in enumerate(selectors) for chain in selector
        ]
        self._max_matches: Final = max_matches
        self._text_left = max_text
        self._matches = 0
        self._stack: list[_Open] = []
        # names on the stack, so that a stray end tag costs nothing
        self._names: Counter[str] = Counter()
        self._open_matches: list[_Found] = []
        self._found: Final[list[list[_Found]]] = [[] for _ in selectors]

    def read(self, page: str, *, check: Callable[[], None]) -> list[list[str]]:
        """The texts for each selector, with white space collapsed to single spaces.

        Raises: BadFile, when the page is nested too deeply, or too much is found.
        """
        for part in tags(page, check=check):
            if isinstance(part, str):
                self._add(part)
            elif part.closing:
                self._close(part.name)
            else:
                self._begin(part)
        return [
            [" ".join("".join(found.pieces).split()) for found in matches]
            for matches in self._found
        ]

    def _add(self, text: str) -> None:
        for found in self._open_matches:
            self._text_left -= len(text)
            if self._text_left < 0:
                raise BadFile(
                    "the selectors find too much text; the operator can set PluckData(max_text=...)"
                )
            found.pieces.append(text)

    def _begin(self, tag: Tag) -> None:
        ends = _ENDED_BY.get(tag.name, set())
        while self._stack and self._stack[-1].name in ends:
            self._close(self._stack[-1].name)
        none = (0,) * len(self._chains)
        parent, around = (
            (self._stack[-1].here, self._stack[-1].above) if self._stack else (none,) * 2
        )
        here = tuple(
            _bits(chain, tag, parent=parent[at], around=around[at])
            for at, (_, chain) in enumerate(self._chains)
        )
        found = self._matched(here)
        if tag.name in _VOID:
            return
        if len(self._stack) >= _DEEPEST:
            raise BadFile(
                f"the page has elements nested more than {_DEEPEST} deep, the most a page may have"
            )
        above = tuple(bits | outer for bits, outer in zip(here, around, strict=True))
        self._stack.append(
            _Open(name=tag.name, here=here, above=above, outside=len(self._open_matches))
        )
        self._names[tag.name] += 1
        self._open_matches += found

    def _matched(self, here: tuple[int, ...]) -> tuple[_Found, ...]:
        numbers = dict.fromkeys(
            number
            for bits, (number, chain) in zip(here, self._chains, strict=True)
            if bits >> (len(chain) - 1)
        )
        self._matches += len(numbers)
        if self._matches > self._max_matches:
            raise BadFile(
                f"the selectors find more than {self._max_matches} elements; "
                "the operator can set PluckData(max_matches=...)"
            )
        founds = tuple(_Found() for _ in numbers)
        for number, found in zip(numbers, founds, strict=True):
            self._found[number].append(found)
        return founds

    def _close(self, name: str) -> None:
        while self._names[name]:
            closed = self._stack.pop()
            self._names[closed.name] -= 1
            del self._open_matches[closed.outside :]
            if closed.name == name:
                return


def _bits(chain: tuple[_Compound, ...], tag: Tag, *, parent: int, around: int) -> int:
    bits = 0
    for at, compound in enumerate(chain):
        before = parent if compound.child else around
        if (at == 0 or before >> (at - 1) & 1) and compound.fits(tag):
            bits |= 1 << at
    return bits
