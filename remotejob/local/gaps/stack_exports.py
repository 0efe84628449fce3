"""Exports of stacks: known after every update, and locked while another stack imports them.

What AWS does: AWS CloudFormation User Guide, "Get exported outputs from a deployed CloudFormation
stack": a stack whose export is imported can neither be deleted nor change or remove that export.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from moto.cloudformation import parsing
from moto.cloudformation.models import CloudFormationBackend, Stack
from moto.cloudformation.parsing import Export


class ExportInUse(Exception):
    """Another stack imports it."""


def check_kept(backend: CloudFormationBackend, stack: Stack) -> None:
    """Check that a stack's new outputs keep what others import.

    Raises: ExportInUse.
    """
    wanted = {export.name: export.value for export in stack.exports}
    for name, export in _of(backend, stack).items():
        if wanted.get(name) == export.value:
            continue
        verb = "updated" if name in wanted else "deleted"
        for importer in _importers(backend, stack, name):
            raise ExportInUse(f"Export {name} cannot be {verb} as it is in use by {importer.name}")
    for name in wanted:
        other = backend.exports.get(name)
        if other is not None and other.exporting_stack_id != stack.stack_id:
            raise ExportInUse(f"Export with name {name} is already exported by another stack.")


def check_unused(backend: CloudFormationBackend, stack: Stack) -> None:
    """Check that no other stack imports from this one. Raises: ExportInUse."""
    for name in _of(backend, stack):
        for importer in _importers(backend, stack, name):
            raise ExportInUse(f"Export {name} cannot be deleted as it is in use by {importer.name}")


def publish(backend: CloudFormationBackend, stack: Stack) -> None:
    """Let others import what a stack exports now."""
    withdraw(backend, stack)
    for export in stack.exports:
        backend.exports[export.name] = export


def withdraw(backend: CloudFormationBackend, stack: Stack) -> None:
    """Let nobody import from a stack any more."""
    for name in _of(backend, stack):
        del backend.exports[name]


def _of(backend: CloudFormationBackend, stack: Stack) -> dict[str, Export]:
    return {
        name: export
        for name, export in backend.exports.items()
        if export.exporting_stack_id == stack.stack_id
    }


def _importers(backend: CloudFormationBackend, stack: Stack, name: str) -> Iterator[Stack]:
    for other in backend.stacks.values():
        if other is not stack and name in _imports(other, other.template_dict):
            yield other


def _imports(stack: Stack, part: Any) -> set[str]:
    if isinstance(part, list):
        return {name for one in part for name in _imports(stack, one)}
    if not isinstance(part, dict):
        return set()
    found = {name for one in part.values() for name in _imports(stack, one)}
    if "Fn::ImportValue" in part:
        found.add(str(parsing.clean_json(part["Fn::ImportValue"], stack.resource_map)))
    return found
