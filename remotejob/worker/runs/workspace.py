"""The files of one run: its temporary folder, and the outputs it has stored."""

from __future__ import annotations

import shutil
import tempfile
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from remotejob.domain.file_names import nearest_file_name
from remotejob.domain.record import OutputFile
from remotejob.worker.runs.process_folder import process_folder


class Workspace:
    """Makes the folder when it is first asked for. Safe across threads."""

    def __init__(self, job_id: str) -> None:
        self._job_id = job_id
        self._lock = threading.Lock()
        self._folder: Path | None = None
        self._outputs: dict[str, OutputFile] = {}

    def folder(self) -> Path:
        """A folder of the run's own; it is removed when the run ends."""
        with self._lock:
            if self._folder is None:
                # a record replayed by hand may come from a listing, with anything for an id
                prefix = f"remotejob-{nearest_file_name(self._job_id)[:26]}-"
                self._folder = Path(tempfile.mkdtemp(prefix=prefix, dir=process_folder()))
            return self._folder

    def add_output(self, output: OutputFile) -> None:
        with self._lock:
            self._outputs[output.name] = output

    @property
    def outputs(self) -> tuple[OutputFile, ...]:
        with self._lock:
            return tuple(self._outputs.values())

    @contextmanager
    def cleaned(self) -> Iterator[None]:
        """Remove the folder at the end of the block."""
        try:
            yield
        finally:
            with self._lock:
                folder, self._folder = self._folder, None
            if folder is not None:
                shutil.rmtree(folder, ignore_errors=True)
