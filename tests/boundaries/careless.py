"""A task that trusts the names it is given, as an honest team would write it."""

from __future__ import annotations

from remotejob import RunningJob, task


@task("careless")
def careless(job: RunningJob) -> str:
    """Writes wherever the job's names lead."""
    if job.input is not None:
        assert job.filename is not None
        (job.folder() / job.filename).write_bytes(b"by hand")
        path = job.download()
        job.download(f"{job.folder()}/deeper/")
        job.output(f"made of {job.filename}", path)
    return str(job.data)
