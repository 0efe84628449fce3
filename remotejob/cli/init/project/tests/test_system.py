"""The whole system in memory, with the settings of this project: upload, job, output."""

from pathlib import Path

from remotejob.testing import JobSystem

SAMPLES = Path(__file__).parents[1] / "samples"


def test_an_uploaded_text_becomes_a_page(remotejob_system: JobSystem) -> None:
    job = remotejob_system.upload("texts/harbour.txt", SAMPLES / "harbour.txt")
    remotejob_system.drain()

    job.refresh()
    assert job.result["first"] == "harbour"
    assert "<svg" in job.outputs["harbour.html"].read_text()


def test_an_empty_file_fails_at_once_and_says_why(remotejob_system: JobSystem) -> None:
    job = remotejob_system.upload("texts/empty.txt", b"")
    remotejob_system.drain()

    job.refresh()
    assert job.state == "failed"
    assert job.errors[-1].message == "empty.txt has no words"
