"""What a start found among the data kept from earlier ones."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final, Self

_HOLDERS: Final = {"items": "table", "objects": "bucket", "messages": "queue"}


@dataclass(frozen=True, kw_only=True, slots=True)
class Aside:
    """Data that the deployed templates have no place for. They stay in the file."""

    kind: str
    """"items", "objects" or "messages"."""
    holder: str
    """The table, bucket or queue that had them."""
    count: int

    def __str__(self) -> str:
        kind = self.kind if self.count != 1 else self.kind.removesuffix("s")
        return f"{self.count} {kind} of {_HOLDERS[self.kind]} {self.holder}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Kept:
    """What was put back, and what was not."""

    items: int
    objects: int
    messages: int
    without_content: int
    """Objects with a version whose content is missing, as after a power cut."""
    aside: tuple[Aside, ...]
    saved_ms: int | None
    """When the last save was, Unix time; None if nothing was ever kept."""
    complete: bool
    """Whether the embedded AWS ended in order, and saved everything."""

    @classmethod
    def from_json(cls, found: dict[str, Any]) -> Self:
        """From the server's answer."""
        aside = tuple(Aside(**one) for one in found["aside"])
        return cls(**{**found, "aside": aside})

    def lines(self) -> Iterator[str]:
        """What to tell the user after a start, a line each."""
        if self.saved_ms is not None:
            yield (
                f"kept from before: {self.items} items, {self.objects} files, "
                f"{self.messages} messages"
            )
        yield from self.warnings()

    def warnings(self) -> Iterator[str]:
        """What was not put back, and what to do, a line each."""
        if self.aside:
            yield (
                "kept aside, because the stacks no longer have a place for them: "
                f"{', '.join(map(str, self.aside))}; they return with the system or queue name "
                "that they had, and --fresh begins without them"
            )
        if self.without_content:
            yield (
                f"{self.without_content} files have lost content, as after a power cut: upload "
                "them again"
            )
