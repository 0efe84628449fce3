"""The output files of a job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO, Final

from remotejob.domain.argument_checks import plain_text
from remotejob.domain.errors import OutputNotFound
from remotejob.domain.record import OutputFile
from remotejob.domain.states import State
from remotejob.domain.text import cut, shown
from remotejob.jobs.content.download_path import IfExists, destination, download_to
from remotejob.ports import Area, Installation


class Output:
    """A file a job made."""

    def __init__(self, file: OutputFile, installation: Installation) -> None:
        self.name: Final = file.name
        self.size: Final = file.size
        """Bytes."""
        self.etag: Final = file.etag
        self.content_type: Final = file.content_type
        self.key: Final = file.key
        """Its key in the output bucket."""
        self._files: Final = installation.files

    def open(self) -> BinaryIO:
        """Open a stream of its bytes; close it after use."""
        return self._files.open(self._files.bucket(Area.OUTPUT), self.key)

    def read_bytes(self) -> bytes:
        """All its bytes at once; use `open` or `download` if it is large."""
        with self.open() as file:
            return file.read()

    def read_text(self) -> str:
        """All its text, which is UTF-8. Raises: UnicodeDecodeError, when it is something else."""
        return self.read_bytes().decode()

    def download(self, path: Path | str, *, if_exists: IfExists | str = IfExists.REFUSE) -> Path:
        """Copy it to a file, or into a folder under its own name. Returns the file's path.

        A folder is one that exists, or text that ends in a slash, such as `"results/"`, which is
        created if missing. Slashes in the output's name make subfolders. The file appears only once
        it is complete. `if_exists` is "refuse" or "overwrite".

        Raises: InvalidInput, when the file exists.
        """
        path = destination(path, self.name)
        bucket = self._files.bucket(Area.OUTPUT)
        download_to(path, lambda part: self._files.download(bucket, self.key, part), if_exists)
        return path

    def __repr__(self) -> str:
        return f"<Output {self.name} of {self.size} bytes>"


class Outputs(Mapping[str, Output]):
    """The files of the run that completed the job, by name."""

    def __init__(self, outputs: tuple[Output, ...], *, job_id: str, state: State) -> None:
        self._outputs = {output.name: output for output in outputs}
        self._job_id = job_id
        self._state = state

    def __getitem__(self, name: str) -> Output:
        text = plain_text(name)
        if text is None or text not in self._outputs:
            known = cut(", ".join(self._outputs), 300) or "none"
            raise OutputNotFound(
                f"job {self._job_id} is {self._state} and has no output {shown(name)}; it has "
                f"{known}"
            )
        return self._outputs[text]

    def __contains__(self, name: object) -> bool:
        return plain_text(name) in self._outputs

    def __iter__(self) -> Iterator[str]:
        return iter(self._outputs)

    def __len__(self) -> int:
        return len(self._outputs)

    def __repr__(self) -> str:
        return f"<Outputs of job {self._job_id}: {', '.join(self._outputs) or 'none'}>"
