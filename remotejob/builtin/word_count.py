"""`word_count`: how often each word stands in a text."""

from __future__ import annotations

import codecs
import io
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Final

from remotejob.builtin.fields import data_of, shown, text
from remotejob.builtin.files import regular, sources
from remotejob.builtin.refusals import BadData, BadFile
from remotejob.domain.errors import InvalidData
from remotejob.tasks.running_job import RunningJob

_PIECE: Final = 1 << 16
_LONGEST_TOKEN: Final = 100

# named one by one: some of Python's codecs decompress, and some take quadratic time
_ENCODINGS: Final = (
    "ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1",
    "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-15", "cp1250", "cp1251",
    "cp1252", "cp1253", "cp1254", "koi8-r", "shift_jis", "euc_jp", "euc_kr", "gb18030", "big5",
)  # fmt: skip
_KNOWN: Final = frozenset(codecs.lookup(name).name for name in _ENCODINGS)


@dataclass(frozen=True, kw_only=True, slots=True)
class WordCount:
    """How much text may be counted. The operator says so when registering."""

    name: ClassVar[str] = "word_count"

    max_bytes: int = 256 << 20
    max_words: int = 100_000
    """Different ones."""
    max_word: int = 1000
    """Characters of a word."""

    def __post_init__(self) -> None:
        for key in ("max_bytes", "max_words", "max_word"):
            if getattr(self, key) < 1:
                raise InvalidData(f"WordCount({key}={getattr(self, key)!r}): use a number from 1")

    def run(self, job: RunningJob) -> dict[str, Any]:
        """Count the words of `location` or the job's input; more files are counted as one.

        Words are what stands between white space, or between `token`. The text is in `encoding`,
        UTF-8 by default. Returns `count`, a number for each word, just as it is spelled.

        Raises: BadData; BadFile, when the text is not in that encoding, or beyond the limits.
        Source: forerunner, `lib/builtins/tasks/word_count.js`, which splits at one space, and
        counts the nothing between two.
        """
        data = data_of(job)
        encoding = known_encoding(text(data, "encoding", default="utf-8"))
        token = None if data.get("token") is None else text(data, "token", default="")
        if token is not None and len(token) > _LONGEST_TOKEN:
            raise BadData(f"token={shown(token)}: {_LONGEST_TOKEN} characters at most")
        paths = [regular(path) for path in sources(job, data)]
        size = sum(path.stat().st_size for path in paths)
        if size > self.max_bytes:
            raise BadFile(
                f"{size} bytes of text: {self.max_bytes} at most; "
                "the operator can set WordCount(max_bytes=...)"
            )
        count: Counter[str] = Counter()
        for path in paths:
            for words in self._words(path, encoding, token, check=job.check):
                count.update(words)
                if len(count) > self.max_words:
                    raise BadFile(
                        f"more than {self.max_words} different words; "
                        "the operator can set WordCount(max_words=...)"
                    )
        return {"count": dict(count)}

    def _words(
        self, path: Path, encoding: str, token: str | None, *, check: Callable[[], None]
    ) -> Iterator[list[str]]:
        """The words, some at a time."""
        begun = ""  # the last word so far, whose end has not been read
        try:
            with path.open("rb") as raw, io.TextIOWrapper(raw, encoding, newline="") as file:
                while piece := file.read(_PIECE):
                    check()
                    words = _split(begun + piece, token)
                    begun = words.pop()
                    if len(begun) > self.max_word + _LONGEST_TOKEN:
                        words.append(begun)
                    self._check_lengths(words)
                    yield [word for word in words if word]
        except UnicodeError as problem:
            raise BadFile(
                f"the text is not {encoding}: {shown(str(problem))}; name its encoding in the data"
            ) from None
        self._check_lengths([begun])
        if begun:
            yield [begun]

    def _check_lengths(self, words: list[str]) -> None:
        longest = max(words, key=len, default="")
        if len(longest) > self.max_word:
            raise BadFile(
                f"a word begins {shown(longest)} and has more than {self.max_word} characters; "
                "the operator can set WordCount(max_word=...)"
            )


def known_encoding(name: str) -> str:
    """Raises: BadData, unless it is one of those that are safe to decode."""
    try:
        known = codecs.lookup(name[:50]).name
    except (LookupError, ValueError):
        known = ""
    if known not in _KNOWN:
        raise BadData(f"encoding={shown(name)}: use one of {', '.join(_ENCODINGS)}")
    return known


def _split(text: str, token: str | None) -> list[str]:
    """The words; the last is the one that has only begun, and is empty if none has."""
    if token is not None:
        return text.split(token)
    words = text.split()
    if not words or text[-1].isspace():
        words.append("")
    return words
