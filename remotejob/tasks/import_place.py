"""Where the import of a module failed, for the one line that says so."""

from __future__ import annotations

import traceback
from pathlib import Path


def place_of(problem: BaseException, *, root: Path) -> str | None:
    """File and line, such as `tasks/scan.py:3`; None if the module itself was not found.

    The last place in `root` that took part, because a package that is missing, or that refuses its
    arguments, is mended there. `problem` was raised by `importlib.import_module`.
    """
    if isinstance(problem, SyntaxError) and problem.filename:
        return _shown(problem.filename, problem.lineno, root)
    frames = traceback.extract_tb(problem.__traceback__)
    # the caller's own, import_module's, and the import system's
    frames = traceback.StackSummary.from_list(
        frame for frame in frames[2:] if not frame.filename.startswith("<")
    )
    if not frames:
        return None
    own = [frame for frame in frames if _is_own(Path(frame.filename), root)]
    frame = (own or frames)[-1]
    return _shown(frame.filename, frame.lineno, root)


def _is_own(path: Path, root: Path) -> bool:
    return path.is_relative_to(root) and "site-packages" not in path.parts


def _shown(filename: str, line: int | None, root: Path) -> str:
    path = Path(filename)
    shown = path.relative_to(root) if path.is_relative_to(root) else path
    return f"{shown}:{line}"
