"""CloudFormation stacks: updated, rolled back and deleted as CloudFormation does it.

What moto does: it updates a resource only if its own text in the template changed, not when what it
refers to was replaced; in no order; with a random new name for some. It deletes what a template no
longer has, whatever its DeletionPolicy. It knows the exports of a stack's first template alone, and
lets anybody remove or change one that is imported. A failed update stays half made, and a change
set leaves no outputs.

What AWS does: AWS CloudFormation User Guide, "Understand update behaviors of stack resources", "Get
exported outputs from a deployed CloudFormation stack", "DeletionPolicy attribute",
"UpdateReplacePolicy attribute", "Continue rolling back an update".

Limits: an update of a custom resource whose function answers later is not asked of the function. A
rollback brings back what the resource types here can be updated to, not the data of what a removal
has deleted, which comes last.
"""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final, cast

from moto.cloudformation import parsing
from moto.cloudformation.exceptions import ValidationError
from moto.cloudformation.models import (
    ChangeSet,
    CloudFormationBackend,
    Stack,
    cloudformation_backends,
)
from moto.cloudformation.parsing import OutputMap, ResourceMap
from moto.cloudformation.responses import CloudFormationResponse

from remotejob.local.gaps import stack_exports, stack_resources

_LOG = logging.getLogger(__name__)
_RETAINED: Final = ("Retain", "RetainExceptOnCreate")


class Refused(Exception):
    """An update or deletion cannot be done; the message is CloudFormation's reason."""


@dataclass(kw_only=True)
class _Outdated:
    """What an update leaves behind: removed when all else is done."""

    removed: list[str] = field(default_factory=list)
    """Logical ids, as the new template has them no more."""
    replaced: list[tuple[Any, dict[str, Any]]] = field(default_factory=list)
    """Resources in whose place others are now, with their old definitions."""


def close_gap() -> None:
    """Take over updates, deletions and change sets."""

    def update(
        self: Stack,
        template: str,
        role_arn: str | None = None,
        parameters: dict[str, Any] | None = None,
        tags: dict[str, str] | None = None,
    ) -> None:
        _update(self, template, parameters or {})
        self.role_arn = role_arn
        if tags is not None:
            self.tags = tags

    def delete_stack(self: CloudFormationBackend, name_or_stack_id: str) -> None:
        for stack in list(self.stacks.values()):
            if name_or_stack_id in (stack.name, stack.stack_id):
                _delete(self, stack)

    def execute_change_set(
        self: CloudFormationBackend, change_set_name: str, stack_name: str | None = None
    ) -> None:
        _execute(self, _change_set(self, change_set_name, stack_name))

    def resolve_update_parameters(
        self: CloudFormationBackend,  # noqa: ARG001 (moto's own)
        instance: Any,
        incoming_params: list[dict[str, Any]],
    ) -> dict[str, str]:
        """Of one that keeps its value, but had none: its default."""
        before = instance.parameters
        return {
            one["ParameterKey"]: before[one["ParameterKey"]]
            if one.get("UsePreviousValue")
            else one["ParameterValue"]
            for one in incoming_params
            if "ParameterValue" in one or one["ParameterKey"] in before
        }

    # it compares texts, and not what the Parameter Store holds now: `_refuse_equal` does
    CloudFormationResponse._validate_different_update = (  # type: ignore[method-assign]
        lambda *_: None
    )
    CloudFormationBackend._resolve_update_parameters = (  # type: ignore[method-assign]
        resolve_update_parameters
    )
    Stack.update = update  # type: ignore[method-assign]
    CloudFormationBackend.delete_stack = delete_stack  # type: ignore[method-assign]
    CloudFormationBackend.execute_change_set = execute_change_set  # type: ignore[method-assign]


def _update(stack: Stack, template: str, parameters: dict[str, Any]) -> None:
    """Raises: moto's ValidationError, when there is nothing to update."""
    backend = _backend(stack)
    before = (stack.template, stack.parameters)
    _refuse_equal(stack, template, parameters)
    stack._add_stack_event("UPDATE_IN_PROGRESS", resource_status_reason="User Initiated")
    try:
        outdated = _bring_to(stack, template, parameters)
        stack_exports.check_kept(backend, stack)
    except Exception as problem:  # noqa: BLE001 (any is a reason to roll back)
        _LOG.info("stack %s", stack.name, exc_info=True)
        _roll_back(stack, *before, reason=_reason(problem))
        return
    _clean_up(stack, outdated)
    stack_exports.publish(backend, stack)
    stack.status = "UPDATE_COMPLETE"
    stack._add_stack_event("UPDATE_COMPLETE")


def _roll_back(stack: Stack, template: Any, parameters: dict[str, Any], *, reason: str) -> None:
    stack._add_stack_event("UPDATE_FAILED", resource_status_reason=reason)
    stack._add_stack_event("UPDATE_ROLLBACK_IN_PROGRESS", resource_status_reason=reason)
    try:
        _clean_up(stack, _bring_to(stack, template, parameters))
    except Exception as problem:  # noqa: BLE001 (any)
        _LOG.exception("the rollback of stack %s", stack.name)
        stack.status = "UPDATE_ROLLBACK_FAILED"
        stack._add_stack_event(stack.status, resource_status_reason=_reason(problem))
        return
    stack.status = "UPDATE_ROLLBACK_COMPLETE"
    stack._add_stack_event(stack.status)


def _refuse_equal(stack: Stack, template: str, parameters: dict[str, Any]) -> None:
    """Raises: moto's ValidationError, with the words that deployment tools look for."""
    if stack.status not in ("CREATE_COMPLETE", "UPDATE_COMPLETE", "UPDATE_ROLLBACK_COMPLETE"):
        return
    wanted = Stack.parse_template(template)
    if stack.template_dict != wanted:
        return
    resources = stack.resource_map
    before, inputs = resources.resolved_parameters, resources.input_parameters
    resources.resolved_parameters, resources.input_parameters = {}, parameters
    try:
        resources.load_parameters()
        same = resources.resolved_parameters == before
    finally:
        resources.input_parameters, resources.resolved_parameters = inputs, before
        resources._parsed_resources.update(before)
    if same:
        raise ValidationError(message="No updates are to be performed.")


def _bring_to(stack: Stack, template: Any, parameters: dict[str, Any]) -> _Outdated:
    """Create and update resources in order; what is in the way stays until `_clean_up`."""
    resources = stack.resource_map
    old = dict(resources._resource_json_map)
    values = {
        name: _resolved_if_it_can_be(old[name], resources)
        for name in old
        if resources._parsed_resources.get(name) is not None
    }
    stack.template = template
    stack._parse_template()
    stack.parameters = parameters
    _load(stack, parameters)
    outdated = _Outdated(
        removed=[name for name in _in_order(old) if not _is_there(resources, name)]
    )
    for name in _in_order(resources._resource_json_map):
        if not _is_there(resources, name):
            continue
        if resources._parsed_resources.get(name) is None:
            _ = resources[name]
        else:
            _change(resources, name, old[name], values[name], outdated)
    # no longer there to be referred to, but still to be deleted
    for name in outdated.removed:
        found = resources._parsed_resources.pop(name, None)
        if found is not None:
            outdated.replaced.append((found, {**old[name], "Properties": values[name]}))
    stack.output_map = stack._create_output_map()
    return outdated


def _load(stack: Stack, parameters: dict[str, Any]) -> None:
    resources, template = stack.resource_map, stack.template_dict
    resources.cross_stack_resources = _backend(stack).exports
    resources._template, resources._resource_json_map = template, template["Resources"]
    resources.input_parameters, resources.resolved_parameters = parameters, {}
    resources.load_mapping()
    resources.load_parameters()
    resources.load_conditions()


def _is_there(resources: ResourceMap, name: str) -> bool:
    """Whether the template has the resource, and no condition against it."""
    definition = resources._resource_json_map.get(name)
    if definition is None:
        return False
    condition = definition.get("Condition")
    return condition is None or bool(resources.lazy_condition_map[condition])


def _change(resources: ResourceMap, name: str, old: Any, before: Any, outdated: _Outdated) -> None:
    """Update a resource if its properties, or what they refer to, are other ones."""
    definition = resources._resource_json_map[name]
    after = _resolved(definition, resources)
    if after == before and definition["Type"] == old["Type"]:
        return
    existing = resources._parsed_resources[name]
    if definition["Type"] != old["Type"]:
        del resources._parsed_resources[name]
        updated = resources[name]
    else:
        updated = stack_resources.update(
            existing,
            name=name,
            definition={**definition, "Properties": after},
            before=before,
            resources=resources,
        )
    if updated is not existing:
        updated_any = cast("Any", updated)
        updated_any.cf_resource_type, updated_any.logical_resource_id = definition["Type"], name
        resources._parsed_resources[name] = updated
        if _name_of(updated) != _name_of(existing):
            policy = str(old.get("UpdateReplacePolicy", "Delete"))
            left = {**old, "Properties": before, "DeletionPolicy": policy}
            outdated.replaced.append((existing, left))


def _clean_up(stack: Stack, outdated: _Outdated) -> None:
    for resource, definition in reversed(outdated.replaced):
        if definition.get("DeletionPolicy") not in _RETAINED:
            try:
                stack_resources.delete(resource, definition, stack.resource_map)
            except Exception:  # noqa: BLE001 (CloudFormation goes on, too)
                _LOG.exception("clean-up of stack %s", stack.name)


def _delete(backend: CloudFormationBackend, stack: Stack) -> None:
    if stack.enable_termination_protection:
        raise ValidationError(
            message=(
                f"Stack [{stack.name}] cannot be deleted while TerminationProtection is enabled"
            )
        )
    stack._add_stack_event("DELETE_IN_PROGRESS", resource_status_reason="User Initiated")
    try:
        stack_exports.check_unused(backend, stack)
        _delete_resources(stack)
    except Exception as problem:  # noqa: BLE001 (any is why the stack stays)
        _LOG.info("stack %s", stack.name, exc_info=True)
        stack.status = "DELETE_FAILED"
        stack._add_stack_event(stack.status, resource_status_reason=_reason(problem))
        return
    stack_exports.withdraw(backend, stack)
    stack.status = "DELETE_COMPLETE"
    stack._add_stack_event(stack.status)
    backend.stacks.pop(stack.stack_id, None)
    backend.deleted_stacks[stack.stack_id] = stack


def _delete_resources(stack: Stack) -> None:
    """Delete in reverse order. Raises: Refused, naming the resources that could not be deleted."""
    resources, failed = stack.resource_map, []
    # whoever describes the stack from now on must not have moto make again what is gone
    stack.output_map = OutputMap(resources, {"Outputs": {}}, stack.stack_id)
    resources._resource_json_map = dict(resources._resource_json_map)
    for name in reversed(_in_order(resources._resource_json_map)):
        found = resources._parsed_resources.get(name)
        definition = resources._resource_json_map[name]
        if found is None or definition.get("DeletionPolicy") in _RETAINED:
            continue
        try:
            stack_resources.delete(found, definition, resources)
        except Exception as problem:  # noqa: BLE001 (the others are deleted all the same)
            _LOG.info("resource %s of stack %s", name, stack.name, exc_info=True)
            failed.append(f"{name}: {_reason(problem)}")
        else:
            del resources._parsed_resources[name], resources._resource_json_map[name]
    if failed:
        raise Refused(f"The following resource(s) failed to delete: {'; '.join(failed)}")


def _execute(backend: CloudFormationBackend, change_set: ChangeSet) -> None:
    stack = backend.stacks[change_set.stack_id]
    change_set.execution_status = "EXECUTE_COMPLETE"
    parameters = {
        name: value
        for name, value in change_set.parameters.items()
        if name in change_set.template_dict.get("Parameters", {})
    }
    if change_set.change_set_type != "CREATE":
        stack.update(change_set.template, change_set.role_arn, parameters, change_set.tags)
        return
    stack.template, stack.parameters = change_set.template, parameters
    stack._parse_template()
    stack.cross_stack_resources = backend.exports
    stack.resource_map = stack._create_resource_map()
    stack.output_map = stack._create_output_map()
    stack._add_stack_event("CREATE_IN_PROGRESS", resource_status_reason="User Initiated")
    stack.create_resources()
    stack_exports.publish(backend, stack)


def _change_set(backend: CloudFormationBackend, name: str, stack: str | None) -> ChangeSet:
    for change_set in reversed(list(backend.change_sets.values())):
        if name == change_set.change_set_id or (
            name == change_set.change_set_name
            and stack in (None, change_set.stack_name, change_set.stack_id)
        ):
            return change_set
    raise ValidationError(message=f"ChangeSet [{name}] does not exist")


def _resolved(definition: dict[str, Any], resources: ResourceMap) -> Any:
    """The properties of a resource, with what they refer to."""
    return parsing.clean_json(copy.deepcopy(definition.get("Properties", {})), resources)


def _resolved_if_it_can_be(definition: dict[str, Any], resources: ResourceMap) -> Any:
    """As `_resolved`; no properties, if they refer to what is not there: a rollback meets that."""
    try:
        return _resolved(definition, resources)
    except Exception:  # noqa: BLE001 (any is why this definition never came to be)
        return {}


def _in_order(definitions: dict[str, Any]) -> list[str]:
    """Logical ids, each after those it refers to or depends on."""
    ordered: dict[str, None] = {}

    def visit(name: str, within: tuple[str, ...]) -> None:
        if name in ordered or name in within:
            return
        for needed in _needs(definitions[name]):
            if needed in definitions:
                visit(needed, (*within, name))
        ordered[name] = None

    for name in definitions:
        visit(name, ())
    return list(ordered)


def _needs(part: Any) -> Iterator[str]:
    """The logical ids that a part of a template names."""
    if isinstance(part, list):
        for one in part:
            yield from _needs(one)
    if not isinstance(part, dict):
        return
    for key, value in part.items():
        if key == "Ref":
            yield value
        elif key == "Fn::GetAtt":
            yield value[0] if isinstance(value, list) else value.partition(".")[0]
        elif key == "DependsOn":
            yield from [value] if isinstance(value, str) else value
        elif key == "Fn::Sub":
            text = value[0] if isinstance(value, list) else value
            yield from (piece.partition("}")[0].partition(".")[0] for piece in text.split("${"))
            yield from _needs(value)
        else:
            yield from _needs(value)


def _name_of(resource: Any) -> Any:
    return getattr(resource, "physical_resource_id", None)


def _reason(problem: Exception) -> str:
    return str(getattr(problem, "message", None) or problem) or type(problem).__name__


def _backend(stack: Stack) -> CloudFormationBackend:
    return cloudformation_backends[stack.account_id][stack.region_name]
