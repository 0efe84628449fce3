"""A supervisor that tells hooks of the children it replaces, with real processes."""

from __future__ import annotations

import threading
from pathlib import Path

from remotejob.client.hooks import ChildEvent, Hooks
from remotejob.worker.lifecycle.supervisor import Supervisor
from tests.worker.family import PATIENCE, family, options


def test_replaced_child_is_reported(hooks: Hooks, tmp_path: Path) -> None:
    heard: list[ChildEvent] = []
    hooks.on("child_restarted", heard.append)
    with family(tmp_path, {1: ["crash 7", "serve 1 0"]}) as told:
        supervisor = Supervisor(options(tmp_path), on_event=hooks.tell_child_restarted)
        thread = threading.Thread(target=supervisor.run, daemon=True)
        thread.start()
        told.await_line("begun 1", times=2)
        supervisor.stop()
        thread.join(PATIENCE)

    assert [(event.event, event.child.exit_code) for event in heard] == [("child_restarted", 7)]
