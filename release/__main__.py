"""The command: `python -m release FOLDER`; exits with 1 if it builds nothing."""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Sequence
from pathlib import Path

from release.build import ROOT, build
from release.problem import ReleaseProblem
from release.source import refuse_unknown_files


def main(arguments: Sequence[str] | None = None, root: Path = ROOT) -> int:
    """Build the wheel and the source distribution, and say what they are."""
    parser = argparse.ArgumentParser(prog="make dist", description=main.__doc__)
    parser.add_argument("folder", type=Path, help="where the two files go")
    folder = parser.parse_args(arguments).folder
    try:
        refuse_unknown_files(root)
        built = build(folder, root)
    except ReleaseProblem as problem:
        print(f"nothing was built: {problem}", file=sys.stderr)
        return 1
    for file in (built.wheel, built.sdist):
        digest = hashlib.sha256(file.read_bytes()).hexdigest()
        print(f"{digest}  {file}  {file.stat().st_size:,} bytes")
    return 0


if __name__ == "__main__":
    sys.exit(main())
