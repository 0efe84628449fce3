"""Where a task's function runs: in a thread, in a process of its own, or on an event loop.

Importing this imports none of them: a worker whose tasks all run in threads pays for nothing else.
"""
