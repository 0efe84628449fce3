"""Tasks: the functions that workers run, and the job that each is given."""

from remotejob.tasks.registry import Registry, registry, task
from remotejob.tasks.task import Task

__all__ = ["Registry", "Task", "registry", "task"]
