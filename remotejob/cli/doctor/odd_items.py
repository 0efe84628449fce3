"""The items of the job table that cannot be read, as findings."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from remotejob.cli.doctor.findings import Check, Finding
from remotejob.jobs.queries.doctor import Diagnosis, examine
from remotejob.ports import Installation

_REMEDY: Final = (
    "update this program if a newer version wrote it; otherwise delete it: aws dynamodb "
    "delete-item --table-name TABLE --key "
    """'{"pk": {"S": "BEFORE THE SLASH"}, "sk": {"S": "AFTER IT"}}'"""
)


class OddItems:
    """Reads the table, and remembers how much of it was read."""

    def __init__(self, installation: Installation) -> None:
        self._installation = installation
        self._read = Diagnosis(findings=(), records=0, complete=False)

    @property
    def check(self) -> Check:
        return Check(subject="the items of the table", run=self._find)

    @property
    def records(self) -> int:
        return self._read.records

    @property
    def complete(self) -> bool:
        return self._read.complete

    def _find(self) -> Iterator[Finding]:
        self._read = examine(self._installation)
        for found in self._read.findings:
            yield Finding(
                place=f"{found.partition} / {found.name}", what=found.problem, remedy=_REMEDY
            )
