"""What a job that may have ended shows: its state, result and outputs."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from remotejob.domain.errors import JobFailed, JobUnfinished
from remotejob.domain.record import JobRecord, OutputFile, output_prefix, outputs_from_json
from remotejob.domain.states import State
from remotejob.domain.times import from_ms
from remotejob.jobs.content import payloads
from remotejob.jobs.content.outputs import Output, Outputs
from remotejob.jobs.content.view import JobView
from remotejob.ports import Area


class ResultView(JobView):
    """A job with its result and outputs, as it was when last read."""

    @property
    def state(self) -> State:
        return self._record.state

    @property
    def ended(self) -> bool:
        """Whether the job is completed, failed or cancelled."""
        return self._record.terminal

    @property
    def finished_at(self) -> datetime | None:
        finished = self._record.finished_ms
        return None if finished is None else from_ms(finished)

    @property
    def result(self) -> Any:
        """What the task returned.

        Raises: JobUnfinished; JobFailed, when it failed (with the last error) or was cancelled.
        """
        record = self._record
        if not record.terminal:
            raise JobUnfinished(f"job {record.id} is {record.state}; call wait() first")
        if record.state is not State.COMPLETED:
            raise JobFailed(_why_no_result(record))
        text = payloads.load_text(
            self._installation.files, Area.OUTPUT, record.result_json, record.result_ref
        )
        return None if text is None else self._load(text, "its result")

    @property
    def outputs(self) -> Outputs:
        """The files made by the run that completed the job; none before that."""
        record = self._record
        files: tuple[OutputFile, ...] = ()
        if record.state is State.COMPLETED and record.run_id is not None:
            text = payloads.load_text(
                self._installation.files, Area.OUTPUT, record.outputs_json, record.outputs_ref
            )
            prefix = output_prefix(queue=record.queue, job_id=record.id, run_id=record.run_id)
            files = outputs_from_json(text, prefix=prefix) if text else ()
        outputs = tuple(Output(file, self._installation) for file in files)
        return Outputs(outputs, job_id=record.id, state=record.state)


def _why_no_result(record: JobRecord) -> str:
    if record.state is State.FAILED and record.errors:
        last = record.errors[-1]
        return f"job {record.id} failed: {last.kind}: {last.message}"
    return f"job {record.id} was {record.state}"
