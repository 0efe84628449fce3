"""Tasks, the functions workers run, as their author sees them."""

from remotejob.tasks.registry import Registry, registry, task
from remotejob.tasks.task import Task

__all__ = ["Registry", "Task", "registry", "task"]
