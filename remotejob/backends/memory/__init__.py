"""The ports in this process's memory, for tests and for trying a task without AWS."""

from remotejob.backends.memory.files import MemoryFiles
from remotejob.backends.memory.fleet import MemoryFleet
from remotejob.backends.memory.messages import MemoryMessages
from remotejob.backends.memory.store import MemoryStore

__all__ = ["MemoryFiles", "MemoryFleet", "MemoryMessages", "MemoryStore"]
