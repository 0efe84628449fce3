"""Executors: run a task's function in a thread, in a child process, or on an event loop.

This package imports none of them: a worker whose tasks all run in threads loads nothing else.
"""
