"""The client API: the system, its queues, jobs and batches, and hooks."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from remotejob.client.remote_job import NAME_VARIABLE, Queue, RemoteJob

__all__ = ["NAME_VARIABLE", "Queue", "RemoteJob"]

if not TYPE_CHECKING:

    def __getattr__(name: str) -> Any:
        # a worker imports the hooks from this package and must not load the client with them
        if name in __all__:
            from remotejob.client import remote_job

            return getattr(remote_job, name)
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
