"""`ping` and `key_map`: tasks on the data alone."""

from __future__ import annotations

from typing import Any, Final

from remotejob.builtin.fields import data_of, named, shown, texts
from remotejob.builtin.refusals import BadData
from remotejob.tasks.running_job import RunningJob

_MOST_KEYS: Final = 1000


def ping(job: RunningJob) -> dict[str, Any]:
    """Answer: to see that jobs reach a worker and results come back.

    Source: forerunner, `lib/builtins/tasks/ping.js`.
    """
    job.log("ping", data=shown(job.data))
    return {"ack": "PONG"}


def key_map(job: RunningJob) -> dict[str, Any]:
    """Rename keys: `transfer` says the new name of each old one, other keys stay.

    Works on `source`, or on the data itself where there is none. Inside a composition the old
    keys stay beside the new: steps add to the data, and take nothing from it.

    Raises: BadData, when a key is not there, or two values would get one name.
    Source: forerunner, `lib/builtins/tasks/key_map.js`, which meant to.
    """
    data = data_of(job)
    transfer = data.get("transfer")
    if not isinstance(transfer, dict) or not transfer or len(transfer) > _MOST_KEYS:
        raise BadData(
            f"transfer={shown(transfer)}: give a dict of new names by old name, 1 to {_MOST_KEYS}"
        )
    source = _source(data, without="transfer")
    for old, new in transfer.items():
        named(source, old)
        if not isinstance(new, str) or not new:
            raise BadData(f"transfer: {shown(old)} cannot be named {shown(new)}; give text")
    renamed: dict[str, Any] = {}
    for key, value in source.items():
        new = transfer.get(key, key)
        if new in renamed:
            raise BadData(f"transfer: two values would be named {shown(new)}")
        renamed[new] = value
    return renamed


def keys_of(data: dict[str, Any]) -> dict[str, Any]:
    """The values of `keys`, from `source` or the data itself.

    Raises: BadData, when a key is not there.
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
