"""`python -m benchmarks [--jobs N] [--due N]`: print what a job costs."""

from __future__ import annotations

import argparse

from benchmarks import due_at_once, happy_path
from benchmarks.report import heading


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--jobs", type=int, default=1000, help="jobs on the happy path")
    parser.add_argument("--due", type=int, default=100_000, help="jobs due at once")
    options = parser.parse_args()
    heading()
    happy_path.show(happy_path.run(options.jobs))
    due_at_once.run(options.due)


if __name__ == "__main__":
    main()
