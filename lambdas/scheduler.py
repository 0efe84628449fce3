"""Runs the tick and the sweep: the library's handler."""

from remotejob.functions.scheduler import handler

__all__ = ["handler"]
