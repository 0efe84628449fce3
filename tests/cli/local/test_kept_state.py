"""What `remotejob local` says when it cannot save."""

from __future__ import annotations

from remotejob.cli.local.kept_state import SaveWatch


def test_trouble_and_its_end_are_said_once() -> None:
    said: list[str] = []
    now = 0.0
    trouble: str | None = None
    asked = 0

    def ask() -> str | None:
        nonlocal asked
        asked += 1
        return trouble

    watch = SaveWatch(ask, said.append, clock=lambda: now)

    for found in (None, "disk full", "disk full", None, None):
        trouble = found
        for _ in range(4):
            watch.check()
        now += 1.0

    assert asked == 5
    cannot, again = said
    assert cannot.startswith("jobs and files cannot be saved in build/local/state/ (disk full): ")
    assert again == "jobs and files are saved again"
