"""The tasks of a team's project."""

from remotejob import RunningJob, task


@task("size")
def size(job: RunningJob) -> int:
    """How many bytes the file has."""
    with job.open() as file:
        return len(file.read())
