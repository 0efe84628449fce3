"""How many processes of this container the kernel has killed because memory ran out."""

from __future__ import annotations

from pathlib import Path
from typing import Final

FILES: Final = (
    Path("/sys/fs/cgroup/memory.events"),
    Path("/sys/fs/cgroup/memory/memory.oom_control"),
)
"""Of control groups of version 2 and 1. In a container, these are its own.

Source: The Linux kernel, "Control Group v2", memory.events; "Memory Resource Controller",
memory.oom_control.
"""


def memory_kills() -> int | None:
    """The count, which only rises; None if the system does not say."""
    for file in FILES:
        try:
            fields = dict(line.split(maxsplit=1) for line in file.read_text().splitlines())
            return int(fields["oom_kill"])
        except (OSError, LookupError, ValueError):
            continue
    return None
