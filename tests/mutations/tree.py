"""A copy of the checkout that can be broken, and an environment that imports the copy."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.mutations.table import CHECKOUT, Mutation

PATIENCE_S: Final = 300
"""Longer than the slowest test takes on a busy machine. One that hangs on broken code needs a timer
of its own."""

_SUITES: Final = "remotejob/testing/conformance/"
_BACKENDS: Final = ("tests/backends/test_memory.py", "tests/backends/test_aws.py")
_LEFT_OUT: Final = shutil.ignore_patterns(
    ".git", ".venv", ".tools", ".hypothesis", ".*_cache", "build", "cdk.out", "dist"
)


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """What the tests made of a mutation."""

    mutation: Mutation
    missed_by: tuple[str, ...]
    """The tests that passed, or did not run, though they should have failed."""
    said: str
    """What pytest printed."""

    @property
    def caught(self) -> bool:
        return not self.missed_by


class Tree:
    """The copy. `close` ends its process and removes nothing: the folder is its user's."""

    def __init__(self, folder: Path) -> None:
        self._checkout = folder / "checkout"
        self._answers = folder / "answers"
        self._answers.mkdir(parents=True)
        shutil.copytree(CHECKOUT, self._checkout, ignore=_LEFT_OUT, symlinks=True)
        python = _environment(folder / "environment", self._checkout)
        self._server = subprocess.Popen(
            [python, "-m", "tests.mutations.server"],
            cwd=self._checkout,
            env=_variables(python.parent, folder),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def try_out(self, mutation: Mutation) -> Verdict:
        """Run the tests that should catch a mutation."""
        with self._mutated(mutation):
            failed, said = self._run(mutation.caught_by)
        missed = tuple(test for test in mutation.caught_by if _function(test) not in failed)
        return Verdict(mutation=mutation, missed_by=missed, said=said)

    def failing(self, tests: Sequence[str]) -> list[str]:
        """Those of these tests that fail as the code is."""
        failed, _ = self._run(tests)
        return [test for test in tests if _function(test) in failed]

    def close(self) -> None:
        assert self._server.stdin is not None
        self._server.stdin.close()
        self._server.wait()
        if self._server.stdout is not None:
            self._server.stdout.close()

    def __enter__(self) -> Tree:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    @contextmanager
    def _mutated(self, mutation: Mutation) -> Iterator[None]:
        path = self._checkout / mutation.file
        text, before = path.read_text(), path.stat()
        path.write_text(mutation.applied_to(text))
        try:
            yield
        finally:
            path.write_text(text)
            # what is compiled already belongs to a file of that time
            os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))

    def _run(self, tests: Sequence[str]) -> tuple[set[str], str]:
        """Names of the test functions that failed, and what pytest said."""
        assert self._server.stdin is not None
        assert self._server.stdout is not None
        report, output = self._answers / "failed", self._answers / "output"
        report.unlink(missing_ok=True)
        order = {
            "arguments": _arguments(tests),
            "functions": sorted({_function(test) for test in tests}),
            "report": str(report),
            "output": str(output),
            "patience": PATIENCE_S,
        }
        print(json.dumps(order), file=self._server.stdin, flush=True)
        if not self._server.stdout.readline():
            raise RuntimeError("the process that runs the tests has ended")
        failed = set(report.read_text().split()) if report.exists() else set()
        return failed, output.read_text(errors="replace")


def _arguments(tests: Sequence[str]) -> list[str]:
    """Files to call pytest with: a row does not say which class of its file a test is in.

    The tests of a conformance suite are run for two backends.
    """
    of_suites = [test for test in tests if test.startswith(_SUITES)]
    plain = [test.partition("::")[0] for test in tests if not test.startswith(_SUITES)]
    return list(dict.fromkeys([*plain, *(_BACKENDS if of_suites else ())]))


def _function(test: str) -> str:
    return test.rpartition("::")[2]


def _environment(folder: Path, checkout: Path) -> Path:
    """An environment like this one, in which the copy comes before everything installed."""
    venv.create(folder, symlinks=True, with_pip=False)
    packages = sysconfig.get_path("purelib", vars={"base": str(folder)})
    installed = sysconfig.get_path("purelib")
    (Path(packages) / "copy.pth").write_text(f"{checkout}\n{installed}\n")
    programs = folder / "bin"
    for program in Path(sys.executable).parent.iterdir():
        if not (programs / program.name).exists():
            (programs / program.name).symlink_to(program)
    for name, module in (("remotejob", "remotejob"), ("pytest", "pytest")):
        (programs / name).unlink(missing_ok=True)
        script = f'#!/bin/sh\nexec {programs / "python"} -m {module} "$@"\n'
        (programs / name).write_text(script)
        (programs / name).chmod(0o755)
    return programs / "python"


def _variables(programs: Path, folder: Path) -> dict[str, str]:
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTEST_", "COV_", "REMOTEJOB_", "AWS_"))
    }
    temporary = folder / "tmp"
    temporary.mkdir()
    return {
        **kept,
        "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
        "TMPDIR": str(temporary),
        # a file that is changed twice within a second must not be taken for its compiled form
        "PYTHONDONTWRITEBYTECODE": "1",
    }
