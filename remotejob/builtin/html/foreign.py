"""Knows whether a tag of a page is within SVG or MathML, where other rules hold than in HTML.

There, `<title>` and `<style>` have tags within, `<script/>` ends itself, and CDATA sections count.
Source: WHATWG HTML, 13.2.6 Tree construction dispatcher, and 13.2.6.5 Foreign content.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from typing import Final

_ROOTS: Final = frozenset({"svg", "math"})
_DEEPEST: Final = 256
"""Elements deeper than this are not followed, which bounds the memory."""

_HTML_AGAIN: Final = frozenset(
    {"foreignobject", "desc", "title", "annotation-xml", "mi", "mo", "mn", "ms", "mtext"}
)
"""Elements of SVG and MathML that contain HTML; `annotation-xml` only by its encoding."""

_NEVER_FOREIGN: Final = frozenset(
    (  # noqa: SIM905
        "b big blockquote body br center code dd div dl dt em embed h1 h2 h3 h4 h5 h6 head hr i "
        "img li listing menu meta nobr ol p pre ruby s small span strong strike sub sup table tt "
        "u ul var"
    ).split()
)
"""HTML elements that end SVG and MathML, because an author who wrote one forgot to."""

_VOID: Final = frozenset(
    "area base br col embed hr img input link meta param source track wbr".split()  # noqa: SIM905
)


class ForeignContent:
    """Follows the tags of a page, in order."""

    def __init__(self) -> None:
        # the open elements from the outermost <svg> or <math>, and whether HTML holds in each
        self._names: list[str] = []
        self._open: Counter[str] = Counter()  # so that a stray end tag costs nothing
        self._html_inside: list[bool] = []

    @property
    def here(self) -> bool:
        """Whether the rules of SVG and MathML hold at this place."""
        return bool(self._names) and not self._html_inside[-1]

    def start(self, name: str, attributes: Mapping[str, str], *, self_closing: bool) -> bool:
        """Follow a start tag; return whether its element is one of SVG or MathML."""
        if self.here and (name in _NEVER_FOREIGN or _is_html_font(name, attributes)):
            self._leave()
        foreign = self.here or name in _ROOTS
        ends_itself = self_closing if foreign else name in _VOID
        if (foreign or self._names) and not ends_itself and len(self._names) < _DEEPEST:
            self._names.append(name)
            self._open[name] += 1
            self._html_inside.append(not foreign or _contains_html(name, attributes))
        return foreign

    def end(self, name: str) -> None:
        """Follow an end tag."""
        if self.here and name in ("p", "br"):
            self._leave()
        elif self._open.get(name):
            while self._pop() != name:
                pass

    def _leave(self) -> None:
        while self.here:
            self._pop()

    def _pop(self) -> str:
        name = self._names.pop()
        self._open[name] -= 1
        self._html_inside.pop()
        return name


def _is_html_font(name: str, attributes: Mapping[str, str]) -> bool:
    return name == "font" and not attributes.keys().isdisjoint(("color", "face", "size"))


def _contains_html(name: str, attributes: Mapping[str, str]) -> bool:
    if name == "annotation-xml":
        encoding = attributes.get("encoding", "").lower()
        return encoding in ("text/html", "application/xhtml+xml")
    return name in _HTML_AGAIN
