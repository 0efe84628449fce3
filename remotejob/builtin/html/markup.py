"""Parses the tags of an HTML page, in time linear in its length.

Not `html.parser`: crafted markup makes its time quadratic (CVE-2025-6069).
Source: WHATWG HTML, 13.2.5 Tokenization, for tags and their attributes.
"""

from __future__ import annotations

import codecs
import html
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from remotejob.builtin.refusals import BadFile

_TAG: Final = re.compile(r"</?[A-Za-z]|<!--|<[!?/]")
_TAG_NAME: Final = re.compile(r"[^\s/>]+")
_SPACE: Final = re.compile(r"[\s/]*")
_ATTRIBUTE_NAME: Final = re.compile(r"[^\s/>=][^\s/>=]*|=[^\s/>=]*")
_EQUALS: Final = re.compile(r"\s*=\s*")
_UNQUOTED: Final = re.compile(r"[^\s>]*")
_CHARSET: Final = re.compile(rb"charset\s{0,5}=\s{0,5}[\"']?([A-Za-z0-9_.:-]{1,40})")

_TEXT_ONLY: Final = frozenset(
    {"script", "style", "textarea", "title", "xmp", "iframe", "noembed", "noframes"}
)
"""Elements whose content has no tags."""

_WITH_REFERENCES: Final = frozenset({"textarea", "title"})
"""The ones among them in which `&amp;` means `&`."""

_CHECK_EVERY: Final = 1000
_MOST_ATTRIBUTES: Final = 500


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """A start or end tag."""

    name: str
    """In lower case."""
    attributes: dict[str, str]
    closing: bool
    text_only: str = ""
    """The content of an element that can contain only text."""


def tags(page: str, *, check: Callable[[], None]) -> Iterator[Tag | str]:
    """Yield the tags of a page and the text between them.

    Raises: BadFile, when a tag has too many attributes; whatever `check` raises.
    """
    at = 0
    for count in range(len(page) + 1):
        if count % _CHECK_EVERY == 0:
            check()
        found = _TAG.search(page, at)
        if found is None:
            break
        if found.start() > at:
            yield _unescaped(page[at : found.start()])
        opening = found[0]
        if opening in ("<!", "<?", "</", "<!--"):
            end = "-->" if opening == "<!--" else ">"
            at = _after(page, end, found.end())
            continue
        tag, at = _read_tag(page, found.start() + (2 if opening[1] == "/" else 1), opening)
        if tag is None:
            return  # the page ends within it
        if tag.name in _TEXT_ONLY and not tag.closing:
            inner = at
            at = _closing_tag(page, tag.name, at)
            text = page[inner:at]
            if tag.name in _WITH_REFERENCES:
                text = _unescaped(text)
            tag = Tag(name=tag.name, attributes=tag.attributes, closing=False, text_only=text)
        yield tag
    if at < len(page):
        yield _unescaped(page[at:])


def _after(page: str, end: str, start: int) -> int:
    """The position after the next `end`, or the end of the page if there is none.

    A missing `end` thus ends the parsing, so repeated markup cannot make us search for it again.
    """
    at = page.find(end, start)
    return len(page) if at < 0 else at + len(end)


def _closing_tag(page: str, name: str, start: int) -> int:
    found = re.compile(rf"</{name}(?=[\s/>])", re.IGNORECASE).search(page, start)
    return len(page) if found is None else found.start()


def _read_tag(page: str, at: int, opening: str) -> tuple[Tag | None, int]:
    """The tag whose name starts at `at`, and where it ends; None if the page ends first."""
    name = _TAG_NAME.match(page, at)
    assert name is not None
    attributes: dict[str, str] = {}
    at = name.end()
    for _ in range(_MOST_ATTRIBUTES):
        at = _end(_SPACE, page, at)
        if at >= len(page):
            return None, at
        if page[at] == ">":
            tag = Tag(name=name[0].lower(), attributes=attributes, closing=opening[1] == "/")
            return tag, at + 1
        end = _end(_ATTRIBUTE_NAME, page, at)
        key = page[at:end].lower()
        equals = _EQUALS.match(page, end)
        value, at = ("", end) if equals is None else _value(page, equals.end())
        # as in browsers, the first attribute of a name counts
        attributes.setdefault(key, value)
    raise BadFile(f"a tag has more than {_MOST_ATTRIBUTES} attributes, the most a page may have")


def _value(page: str, at: int) -> tuple[str, int]:
    if at < len(page) and page[at] in "\"'":
        end = page.find(page[at], at + 1)
        if end < 0:
            return "", len(page)
        return _unescaped(page[at + 1 : end]), end + 1
    end = _end(_UNQUOTED, page, at)
    return _unescaped(page[at:end]), end


def _unescaped(text: str) -> str:
    try:
        return html.unescape(text)
    except ValueError:  # a numeric reference of thousands of digits
        return text


def _end(pattern: re.Pattern[str], page: str, at: int) -> int:
    found = pattern.match(page, at)
    return at if found is None else found.end()


def decoded(page: bytes, *, encoding: str | None, safe: Callable[[str], str]) -> str:
    """Decode a page: as `encoding`, or the encoding it declares, or UTF-8.

    As in browsers, undecodable bytes are replaced. `safe` raises for unsafe encodings.
    """
    if encoding is not None:
        return page.decode(safe(encoding), errors="replace")
    if page.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return page.decode("utf-16", errors="replace")
    declared = _CHARSET.search(page[:1024])
    if declared is None:
        return page.decode("utf-8-sig", errors="replace")
    name = declared[1].decode("ascii")
    try:
        return page.decode(safe(name), errors="replace")
    except ValueError:  # the page declares an encoding we do not accept
        return page.decode("utf-8-sig", errors="replace")
