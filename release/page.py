"""The README as the page of a package index: there, no file of the checkout is next to it."""

from __future__ import annotations

import re
from typing import Final

_LINK: Final = re.compile(r"\[(?P<text>[^\]]+)\]\((?P<target>[^)\s]+)\)")
_CODE: Final = re.compile(r"^```.*?^```$", re.DOTALL | re.MULTILINE)


def index_page(readme: str, *, home: str | None) -> str:
    """Make the README's links absolute.

    home: where the files of this version are shown, such as `https://…/blob/v1.0`. Without one, a
    link becomes its text and the file's path: the source distribution has the file.
    """

    def absolute(link: re.Match[str]) -> str:
        text, target = link["text"], link["target"]
        if "://" in target:
            return link[0]
        if target.startswith("#"):
            # an index page gives its headings no names
            return text
        if home is not None:
            return f"[{text}]({home.rstrip('/')}/{target})"
        return text if text == target else f"{text} (`{target}`)"

    parts = _CODE.split(readme)
    blocks = [*_CODE.findall(readme), ""]
    return "".join(
        _LINK.sub(absolute, part) + block for part, block in zip(parts, blocks, strict=True)
    )
