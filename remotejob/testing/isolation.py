"""Forgets the tasks and hooks that a test registered, but not those of modules that it imported.

Python imports a module once, so what its import registers must last as long as the process. This
module imports nothing of the library: the pytest plugin runs it around every test.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

_TASKS: Final = "remotejob.tasks.registry"
_HOOKS: Final = "remotejob.client.hooks"

_Registered = tuple[str, str, Any]
"""The module of the registry, a task's name or a hook's event, and the function."""

_kept: Final[list[_Registered]] = []
"""Registered by imports that `kept_for_good` watched."""


@contextmanager
def forgotten_afterwards() -> Iterator[None]:
    """Forget what the block registers, except functions of modules that it imports."""
    modules = frozenset(sys.modules)
    before = _registered()
    yield
    for entry in _registered():
        module = getattr(entry[2], "__module__", None)
        if entry not in before and entry not in _kept and module in modules:
            _forget(entry)


@contextmanager
def kept_for_good() -> Iterator[None]:
    """Keep what an import in the block registers; forget all of it if the import fails."""
    before = _registered()
    try:
        yield
    except BaseException:
        for entry in _registered():
            if entry not in before:
                _forget(entry)
        raise
    _kept.extend(entry for entry in _registered() if entry not in before)


def _registered() -> list[_Registered]:
    found: list[_Registered] = []
    tasks, hooks = sys.modules.get(_TASKS), sys.modules.get(_HOOKS)
    if tasks is not None:
        found += [(_TASKS, name, task.function) for name, task in tasks.registry.items()]
    if hooks is not None:
        found += [(_HOOKS, event, function) for event, function in hooks.registry.registered()]
    return found


def _forget(entry: _Registered) -> None:
    module, name, function = entry
    if module == _TASKS:
        sys.modules[module].registry.forget(name)
    else:
        sys.modules[module].registry.off(name, function)
