"""Reads the whole log of a job: the last lines from its record, the rest from its notes.

Lines that say what was done to the job stand among those that it logged itself.
"""

from __future__ import annotations

from remotejob.domain.errors import UnreadableItem
from remotejob.domain.history import history_lines
from remotejob.domain.job_log import LogLine, log_lines
from remotejob.domain.record import JobRecord
from remotejob.domain.record_texts import check_log
from remotejob.domain.unreadable import reading_item
from remotejob.names import LOG_NOTES
from remotejob.ports import Installation


def whole_log(record: JobRecord, installation: Installation) -> list[LogLine]:
    """All lines of all runs, and of what was done to the job, oldest first."""
    found = list(record.log_tail)
    for name, text in installation.store.notes(record.id, LOG_NOTES):
        try:
            with reading_item(record.id, name):
                check_log(text)
                found += log_lines(text)
        except UnreadableItem as problem:
            installation.skipped.add(problem)
    # the time is part of the key: a run that died may have left notes that its successor did not
    # know of when it numbered its lines
    lines: dict[tuple[int, int], LogLine] = {}
    for line in found:
        # the record keeps a long line cut and without its data; the note has all of it
        key = (line.at_ms, line.number)
        known = lines.get(key)
        if known is None or line.data is not None or len(line.message) > len(known.message):
            lines[key] = line
    every = [*lines.values(), *history_lines(record.history)]
    return sorted(every, key=lambda line: (line.at_ms, line.number))
