"""Reads the tags of an HTML page as browsers do, in time and memory linear in its length.

Not as a tree: by the standard, a crafted page of 43 KB becomes one of five million nodes (ADR 13).
Source: WHATWG HTML, 13.2.5 Tokenization, as `turbohtml` implements it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Final

from turbohtml import Token, TokenType, tokenize

from remotejob.builtin.html.foreign import ForeignContent
from remotejob.builtin.refusals import BadFile

_CHECK_EVERY: Final = 1000
_MOST_ATTRIBUTES: Final = 500
_MOST_READ_AGAIN: Final = 64 << 20
"""Characters, where the tokenizer took markup for text; about a second's work."""

_TAGS: Final = frozenset({TokenType.START_TAG, TokenType.END_TAG})
_TEXTS: Final = frozenset({TokenType.TEXT, TokenType.CHARACTER_REFERENCE})
_CDATA: Final = "<![CDATA["
_CDATA_END: Final = "]]>"


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
    of `script`, `style`, `title`, `textarea` and their like is text, except in SVG.

    Raises: BadFile, when a tag has too many attributes; whatever `check` raises.
    """
    check()
    return _Reader(page, check).parts()


class _Reader:
    """Tokenizes a page, and once more what the tokenizer took for text but is markup here.

    The tokenizer reads `noscript` as browsers do that run scripts, and knows no SVG or MathML.
    """

    def __init__(self, page: str, check: Callable[[], None]) -> None:
        self._sources: Final[list[Iterator[Token]]] = [_tokens(page)]
        """The last one is read first, then the rest of the one before it."""
        self._check: Final = check
        self._may_read_again = _MOST_READ_AGAIN
        self._foreign: Final = ForeignContent()
        self._in_cdata = False
        self._in_markup = False
        self._markup: list[str] = []

    def parts(self) -> Iterator[Tag | str]:
        for token in self._checked_tokens():
            if self._in_cdata or self._begins_cdata(token):
                yield from self._cdata(_written(token))
            elif token.type in _TEXTS:
                if self._in_markup:
                    self._markup.append(_written(token))
                else:
                    yield token.data or ""
            elif token.type in _TAGS:
                yield self._tag(token)

    def _checked_tokens(self) -> Iterator[Token]:
        count = 0
        while self._sources:
            token = next(self._sources[-1], None)
            count += 1
            if count % _CHECK_EVERY == 0:
                self._check()
            if self._markup and (token is None or token.type not in _TEXTS):
                written, self._markup, self._in_markup = "".join(self._markup), [], False
                self._sources.append(iter([token] if token else []))
                self._read(written)
            elif token is None:
                self._sources.pop()
            else:
                yield token

    def _read(self, written: str) -> None:
        self._may_read_again -= len(written)
        if self._may_read_again < 0:
            raise BadFile("the page has too much markup in SVG or noscript, one within the other")
        self._sources.append(_tokens(written))

    def _tag(self, token: Token) -> Tag:
        name, attributes = token.tag or "", token.attrs or []
        if len(attributes) > _MOST_ATTRIBUTES:
            raise BadFile(
                f"a tag has more than {_MOST_ATTRIBUTES} attributes, the most a page may have"
            )
        closing = token.type is TokenType.END_TAG
        tag = Tag(name=name, attributes=dict(attributes), closing=closing)
        if closing:
            self._foreign.end(name)
            self._in_markup = False
        else:
            foreign = self._foreign.start(name, tag.attributes, self_closing=token.self_closing)
            self._in_markup = foreign or name == "noscript"
        return tag

    def _begins_cdata(self, token: Token) -> bool:
        return (
            token.type is TokenType.COMMENT
            and self._foreign.here
            and _written(token).startswith(_CDATA)
        )

    def _cdata(self, written: str) -> Iterator[str]:
        """The text of a CDATA section, which the tokenizer took for a comment and what follows."""
        text, end, rest = written.partition(_CDATA_END)
        yield text if self._in_cdata else text.removeprefix(_CDATA)
        self._in_cdata = not end
        if rest:
            self._read(rest)


def _tokens(page: str) -> Iterator[Token]:
    return tokenize(page, capture_source=True, resolve_references=False)


def _written(token: Token) -> str:
    """A token as the page has it. A text token has no source, but no references either."""
    return token.source or token.data or ""
