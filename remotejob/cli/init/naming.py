"""The name of a project, which is its system's, too."""

from __future__ import annotations

import re
import unicodedata
from typing import Final

from remotejob.domain.errors import InvalidName
from remotejob.domain.text import shown
from remotejob.names import DISTRIBUTION
from remotejob.settings import NAME

_LONGEST: Final = 31
_TAKEN: Final = frozenset({"pytest", "remotejob", DISTRIBUTION})
"""What the project depends on: no installer gets a package that depends on itself right."""


def project_name(folder: str) -> str:
    """A name made of a folder's: `My Scans` gives `my-scans`.

    Raises: InvalidName, when none can be made, or it is taken.
    """
    plain = unicodedata.normalize("NFKD", folder).encode("ascii", "ignore").decode().lower()
    name = re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:_LONGEST].rstrip("-")
    if NAME.fullmatch(name) is None:
        raise InvalidName(
            f"folder {shown(folder)}: a project's name begins with a letter from a to z, and none"
            " can be made of this one; add --name scans, or the like"
        )
    return _refuse_taken(name)


def check_project_name(name: str) -> str:
    """Raises: InvalidName."""
    if NAME.fullmatch(name) is None or name.endswith("-"):
        raise InvalidName(
            f"--name {shown(name)}: use up to {_LONGEST} of a-z, 0-9 and -, beginning with a"
            " letter and not ending with -"
        )
    return _refuse_taken(name)


def _refuse_taken(name: str) -> str:
    if name in _TAKEN:
        raise InvalidName(
            f"project name {shown(name)}: a package that the project needs has this name; choose"
            f" another, such as --name my-{name}"
        )
    return name
