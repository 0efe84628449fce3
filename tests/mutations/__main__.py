"""Tries mutations: `python -m tests.mutations [--row TEXT] [FILE.toml…]`."""

from __future__ import annotations

import argparse
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from queue import SimpleQueue

from tests.mutations.table import Mutation, one_of_each_row, read
from tests.mutations.tree import Tree, Verdict


def main(arguments: Sequence[str]) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.mutations", description=__doc__)
    parser.add_argument("--row", default="", help="only rows whose first cell has this text")
    parser.add_argument("--processes", type=int, default=os.cpu_count() or 1)
    parser.add_argument(
        "--rows", action="store_true", help="one of each row, as make test-all does"
    )
    parser.add_argument("--verbose", action="store_true", help="print what pytest said of a miss")
    parser.add_argument("tables", nargs="*", type=Path)
    options = parser.parse_args(arguments)
    mutations = [one for one in read(options.tables or None) if options.row in one.row]
    if options.rows:
        mutations = one_of_each_row(mutations)
    missed = 0
    for verdict in _verdicts(mutations, min(options.processes, len(mutations))):
        print(f"{'caught' if verdict.caught else 'MISSED'}  {verdict.mutation}", flush=True)
        for test in verdict.missed_by:
            print(f"        by {test}")
        if verdict.missed_by and options.verbose:
            print(verdict.said)
        missed += not verdict.caught
    print(f"{len(mutations)} mutations, {missed} of them not caught")
    return 1 if missed or not mutations else 0


def _verdicts(mutations: Sequence[Mutation], processes: int) -> Iterator[Verdict]:
    trees: SimpleQueue[Tree] = SimpleQueue()

    def verdict(mutation: Mutation) -> Verdict:
        tree = trees.get()
        try:
            return tree.try_out(mutation)
        finally:
            trees.put(tree)

    with tempfile.TemporaryDirectory() as folder:
        made = [Tree(Path(folder) / str(number)) for number in range(processes)]
        for tree in made:
            trees.put(tree)
        try:
            with ThreadPoolExecutor(max_workers=max(1, processes)) as pool:
                yield from pool.map(verdict, mutations)
        finally:
            for tree in made:
                tree.close()


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
