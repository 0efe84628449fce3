"""Reads the tags of an HTML page as browsers do, in time and memory linear in its length.

Not as a tree: by the standard, a crafted page of 43 KB becomes one of five million nodes (ADR 13).
Source: WHATWG HTML, 13.2.5 Tokenization, as `turbohtml` implements it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from turbohtml import TokenType, tokenize

from remotejob.builtin.refusals import BadFile

_CHECK_EVERY: Final = 1000
_MOST_ATTRIBUTES: Final = 500
_DEEPEST_NOSCRIPT: Final = 8
"""How deep `noscript` in `noscript` is read, because each level reads its content once more."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Tag:
    """A start or end tag."""

    name: str
    """In lower case."""
    attributes: dict[str, str]
    """By names in lower case. The first attribute of a name counts, as in browsers."""
    closing: bool


def tags(page: str, *, check: Callable[[], None]) -> Iterator[Tag | str]:
    """Yield the tags of a page and the text between them.

    The content of a `noscript` element counts as markup, because no script runs here. The content
    of `script`, `style`, `title`, `textarea` and their like is text.

    Raises: BadFile, when a tag has too many attributes; whatever `check` raises.
    """
    check()
    yield from _parts(page, check=check, depth=0)


def _parts(page: str, *, check: Callable[[], None], depth: int) -> Iterator[Tag | str]:
    in_noscript = False
    for count, token in enumerate(tokenize(page), start=1):
        if count % _CHECK_EVERY == 0:
            check()
        if token.type is TokenType.TEXT and token.data:
            if in_noscript and depth < _DEEPEST_NOSCRIPT:
                # the tokenizer takes this for text, as browsers do that run scripts
                yield from _parts(token.data, check=check, depth=depth + 1)
            else:
                yield token.data
        elif token.type is TokenType.START_TAG or token.type is TokenType.END_TAG:
            closing = token.type is TokenType.END_TAG
            tag = _tag(token.tag or "", token.attrs or [], closing=closing)
            in_noscript = tag.name == "noscript" and not closing
            yield tag


def _tag(name: str, attributes: list[tuple[str, str]], *, closing: bool) -> Tag:
    if len(attributes) > _MOST_ATTRIBUTES:
        raise BadFile(
            f"a tag has more than {_MOST_ATTRIBUTES} attributes, the most a page may have"
        )
    return Tag(name=name, attributes=dict(attributes), closing=closing)
