"""Records, manifests and messages as somebody writes them who does not use the library."""

from __future__ import annotations

import json
from dataclasses import replace
from typing import Any

from remotejob.domain.ids import new_job_id, new_run_id
from remotejob.domain.record import JobRecord, output_prefix
from remotejob.domain.states import State
from remotejob.jobs.messaging.send import send_for
from remotejob.ports import Area, Installation


def forged(installation: Installation, *, send: bool = False, **fields: Any) -> JobRecord:
    """Store a record with these fields, and nothing checked; `send` its message, too."""
    now = installation.clock.now_ms()
    record = JobRecord(
        id=new_job_id(now, installation.entropy),
        state=State.READY,
        task="work",
        queue="default",
        created_ms=now,
        updated_ms=now,
    )
    record = replace(record, **fields)
    installation.store.put_new(record)
    if send:
        send_for([record], installation)
    return record


def input_named(name: Any, installation: Installation, *, bucket: str | None = None) -> str:
    """A record's input: a file in the input bucket, under any name."""
    stored = installation.files.put(Area.INPUT, "x/evil", b"owned")
    return json.dumps(
        {"b": stored.bucket if bucket is None else bucket, "k": stored.key, "s": 5, "n": name}
    )


def completed_with(
    installation: Installation, *names: str, long: bool = False, **fields: Any
) -> JobRecord:
    """A completed job whose manifest has these names, in its record or next to it."""
    now = installation.clock.now_ms()
    job_id, run_id = (
        new_job_id(now, installation.entropy),
        new_run_id(installation.entropy),
    )
    prefix = output_prefix(queue="default", job_id=job_id, run_id=run_id)
    listed = []
    for name in names:
        stored = installation.files.put(Area.OUTPUT, prefix + name, b"owned")
        listed.append([name, stored.size, stored.etag])
    manifest = json.dumps(listed)
    if long:
        installation.files.put(Area.OUTPUT, f"{prefix}-/outputs.json", manifest.encode())
        fields["outputs_ref"] = f"{prefix}-/outputs.json"
    else:
        fields["outputs_json"] = manifest
    return forged(
        installation,
        id=job_id,
        run_id=run_id,
        state=State.COMPLETED,
        started_ms=now,
        finished_ms=now,
        attempt=1,
        **fields,
    )
