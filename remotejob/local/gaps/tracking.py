"""Memory: moto keeps every message, item and object it ever created, for its dashboard.

A long run would grow without limit, so we turn that off.
"""

from __future__ import annotations

from typing import Any

from moto.core.common_models import BaseModel


def close_gap() -> None:
    """Create instances without tracking them."""

    def new(cls: type[BaseModel], *_: Any, **__: Any) -> Any:
        return object.__new__(cls)

    BaseModel.__new__ = staticmethod(new)  # type: ignore[method-assign]
