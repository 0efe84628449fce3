"""The task `word_count`: counts how often each word occurs in a text."""

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

# listed one by one, because some of Python's codecs decompress or take quadratic time
_ENCODINGS: Final = (
    "ascii", "utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1",
    "iso8859-2", "iso8859-5", "iso8859-7", "iso8859-9", "iso8859-15", "cp1250", "cp1251",
    "cp1252", "cp1253", "cp1254", "koi8-r", "shift_jis", "euc_jp", "euc_kr", "gb18030", "big5",
)  # fmt: skip
_KNOWN: Final = frozenset(codecs.lookup(name).name for name in _ENCODINGS)


@dataclass(frozen=True, kw_only=True, slots=True)
class WordCount:
    """The limits of a text, which the operator sets when registering."""

    name: ClassVar[str] = "word_count"

    max_bytes: int = 256 << 20
    max_words: int = 100_000
    """Different words."""
    max_word: int = 1000
    """Characters in a word."""

    def __post_init__(self) -> None:
        for key in ("max_bytes", "max_words", "max_word"):
            if getattr(self, key) < 1:
                raise InvalidData(f"WordCount({key}={getattr(self, key)!r}): use a number from 1")

    def run(self, job: RunningJob) -> dict[str, Any]:
        """Count the words of `location`, or of the job's input; several files count as one text.

        Words are separated by white space, or by `token`. The text is in `encoding`, by default
        UTF-8. Returns `count`, which maps each word, exactly as spelled, to its number.

        Raises: BadData; BadFile, when the text is not in that encoding, or exceeds a limit.
        Source: forerunner, `lib/builtins/tasks/word_count.js`, which splits at single spaces and
        counts the empty text between two of them.
        """
        data = data_of(job)
        encoding = known_encoding(text(data, "encoding", default="utf-8"))
        token = None if data.get("token") is None else text(data, "token", default="")
        if token is not None and len(token) > _LONGEST_TOKEN:
            raise BadData(
                f"token={shown(token)} is too long: use at most {_LONGEST_TOKEN} characters"
            )
        paths = [regular(path) for path in sources(job, data)]
        size = sum(path.stat().st_size for path in paths)
        if size > self.max_bytes:
            raise BadFile(
                f"the text has {size} bytes, and at most {self.max_bytes} are counted; "
                "the operator can set WordCount(max_bytes=...)"
            )
        count: Counter[str] = Counter()
        for path in paths:
            for words in self._words(path, encoding, token, check=job.check):
                count.update(words)
                if len(count) > self.max_words:
                    raise BadFile(
                        f"the text has more than {self.max_words} different words; "
                        "the operator can set WordCount(max_words=...)"
                    )
        return {"count": dict(count)}

    def _words(
        self, path: Path, encoding: str, token: str | None, *, check: Callable[[], None]
    ) -> Iterator[list[str]]:
        """Yield the words in batches."""
        begun = ""  # the last word so far, which may go on
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
                f"the word beginning {shown(longest)} has more than {self.max_word} characters; "
                "the operator can set WordCount(max_word=...)"
            )


def known_encoding(name: str) -> str:
    """The codec's canonical name. Raises: BadData, unless it is safe to decode."""
    try:
        known = codecs.lookup(name[:50]).name
    except (LookupError, ValueError):
        known = ""
    if known not in _KNOWN:
        raise BadData(f"encoding={shown(name)}: use one of {', '.join(_ENCODINGS)}")
    return known


def _split(text: str, token: str | None) -> list[str]:
    """The words. The last may go on after the text; it is empty if the text ends between words."""
    if token is not None:
        return text.split(token)
    words = text.split()
    if not words or text[-1].isspace():
        words.append("")
    return words
