"""The task `pluck_data`: picks values from the data, or texts from a page."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Final

from remotejob.builtin.fields import data_of, shown
from remotejob.builtin.files import one_source
from remotejob.builtin.html import selectors
from remotejob.builtin.html.pages import header_charsets, read_page
from remotejob.builtin.key_map import keys_of
from remotejob.builtin.refusals import BadData
from remotejob.domain.errors import InvalidData
from remotejob.tasks.running_job import RunningJob

_MOST_SELECTORS: Final = 50
_MOST_PARTS: Final = 100


@dataclass(frozen=True, kw_only=True, slots=True)
class PluckData:
    """The limits of a page, which the operator sets when registering."""

    name: ClassVar[str] = "pluck_data"

    max_bytes: int = 5 << 20
    """For the page."""
    max_matches: int = 10_000
    """Elements."""
    max_text: int = 5 << 20
    """Characters, in all elements together; text in two of them counts twice."""

    def __post_init__(self) -> None:
        for key in ("max_bytes", "max_matches", "max_text"):
            if getattr(self, key) < 1:
                raise InvalidData(f"PluckData({key}={getattr(self, key)!r}): use a number from 1")

    def run(self, job: RunningJob) -> dict[str, Any]:
        """Return only the `keys` of the data, or only what `selectors` find in a page.

        `keys` lists keys of `source`, or else of the data itself. `selectors` maps keys to CSS
        selectors; the page is `location` or the job's input, and each key gets the list of the
        texts of the elements found.

        Raises: BadData, when a key is missing or a selector is not understood; BadFile, when the
        page exceeds a limit.
        Source: forerunner, `lib/builtins/tasks/pluck_data.js`, which fetches the page itself.
        """
        data = data_of(job)
        if "selectors" not in data:
            return keys_of(data)
        asked = data["selectors"]
        if not isinstance(asked, dict) or not 0 < len(asked) <= _MOST_SELECTORS:
            raise BadData(
                f"selectors={shown(asked)}: give a dict of 1 to {_MOST_SELECTORS} selectors"
            )
        parsed = []
        for key, selector in asked.items():
            if not isinstance(selector, str):
                raise BadData(f"selectors: {shown(key)} is {shown(selector)}: give a text")
            parsed.append(selectors.parse(selector))
        if sum(len(chain) for selector in parsed for chain in selector) > _MOST_PARTS:
            raise BadData(f"selectors: more than {_MOST_PARTS} parts in all: give fewer")
        path = one_source(job, data)
        (charset,) = header_charsets(job, data, count=1)
        page = read_page(path, data, header_charset=charset, max_bytes=self.max_bytes)
        texts = selectors.Texts(parsed, max_matches=self.max_matches, max_text=self.max_text)
        return dict(zip(asked, texts.read(page.text, check=job.check), strict=True))
