"""The tasks `ping` and `key_map`, which use only the job's data."""

from __future__ import annotations

from typing import Any, Final

from remotejob.builtin.fields import data_of, named, shown, texts
from remotejob.builtin.refusals import BadData
from remotejob.tasks.running_job import RunningJob

_MOST_KEYS: Final = 1000


def ping(job: RunningJob) -> dict[str, Any]:
    """Answer `PONG`, to check that jobs reach a worker and results come back.

    Source: forerunner, `lib/builtins/tasks/ping.js`.
    """
    job.log("ping", data=shown(job.data))
    return {"ack": "PONG"}


def key_map(job: RunningJob) -> dict[str, Any]:
    """Rename keys: `transfer` maps old names to new ones; other keys stay.

    Works on `source`, or else on the data itself. In a composition the old keys stay too, because
    steps only add to the data.

    Raises: BadData, when a key is missing, or two values would get the same name.
    Source: forerunner, `lib/builtins/tasks/key_map.js`, whose intent this implements.
    """
    data = data_of(job)
    transfer = data.get("transfer")
    if not isinstance(transfer, dict) or not transfer or len(transfer) > _MOST_KEYS:
        raise BadData(
            f"transfer={shown(transfer)}: give a dict of old to new names, 1 to {_MOST_KEYS}"
        )
    source = _source(data, without="transfer")
    for old, new in transfer.items():
        named(source, old)
        if not isinstance(new, str) or not new:
            raise BadData(f"transfer: {shown(old)} cannot be named {shown(new)}: give a text")
    renamed: dict[str, Any] = {}
    for key, value in source.items():
        new = transfer.get(key, key)
        if new in renamed:
            raise BadData(f"transfer: two values would be named {shown(new)}: give different names")
        renamed[new] = value
    return renamed


def keys_of(data: dict[str, Any]) -> dict[str, Any]:
    """The values of `keys`, from `source` or the data itself.

    Raises: BadData, when a key is missing.
    """
    source = _source(data, without="keys")
    return {key: named(source, key) for key in texts(data, "keys", most=_MOST_KEYS)}


def _source(data: dict[str, Any], *, without: str) -> dict[str, Any]:
    if "source" not in data:
        return {key: value for key, value in data.items() if key != without}
    source = data["source"]
    if not isinstance(source, dict):
        raise BadData(f"source={shown(source)}: give a dict of named values")
    return source
