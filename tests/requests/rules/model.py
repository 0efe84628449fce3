"""Requests against botocore's model of a service.

botocore checks what is required and of which type, and nothing else: neither enumerations nor
patterns nor upper limits. Validators are compiled once for each shape, because tests send a hundred
thousand requests.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any, Final

import botocore.session
from botocore.model import ServiceModel, Shape
from botocore.validate import ParamValidator

Validator = Callable[[Any, str, list[str]], None]

_SHOWN: Final = 80


def faults_by_model(service: str, operation: str, request: Mapping[str, Any]) -> list[str]:
    """What the model does not allow in the request."""
    found: list[str] = []
    validate = _operation(service, operation)
    if validate is None:
        return [f"{service} has no operation {operation}"]
    validate(request, operation, found)
    return found


def faults_by_botocore(service: str, operation: str, request: Mapping[str, Any]) -> list[str]:
    """What botocore's own validation says; ten times slower than ours."""
    shape = _model(service).operation_model(operation).input_shape
    if shape is None:
        return []
    # it knows lists and not tuples, which JSON does not tell apart
    report = ParamValidator().validate(request, shape)
    return [report.generate_report()] if report.has_errors() else []


@cache
def _session() -> botocore.session.Session:
    return botocore.session.get_session()


@cache
def _model(service: str) -> ServiceModel:
    return _session().get_service_model(service)


@cache
def _operation(service: str, operation: str) -> Validator | None:
    model = _model(service)
    if operation not in model.operation_names:
        return None
    shape = model.operation_model(operation).input_shape
    return _nothing if shape is None else _compiled(shape, {})


def _nothing(value: Any, place: str, found: list[str]) -> None:
    if value:
        found.append(f"{place} takes no parameters")


def _compiled(shape: Shape, known: dict[str, Validator]) -> Validator:
    if shape.name in known:
        return known[shape.name]

    # DynamoDB's values hold values: the validator of a shape must be known before it is made
    def validate(value: Any, place: str, found: list[str]) -> None:
        made(value, place, found)

    known[shape.name] = validate
    make = _MAKERS.get(shape.type_name, _scalar)
    made = make(shape, known)
    known[shape.name] = made
    return made


def _structure(shape: Any, known: dict[str, Validator]) -> Validator:
    members = {name: _compiled(member, known) for name, member in shape.members.items()}
    required = tuple(shape.required_members)
    one_of = bool(getattr(shape, "is_tagged_union", False))

    def validate(value: Any, place: str, found: list[str]) -> None:
        if not isinstance(value, Mapping):
            found.append(f"{place} is {_shown(value)}, and not a structure")
            return
        found.extend(f"{place} lacks {name}" for name in required if name not in value)
        if one_of and len(value) != 1:
            found.append(f"{place} has {len(value)} members of a union: {sorted(value)}")
        for name, one in value.items():
            member = members.get(name)
            if member is None:
                found.append(f"{place} has no {name}")
            else:
                member(one, f"{place}.{name}", found)

    return validate


def _listed(shape: Any, known: dict[str, Validator]) -> Validator:
    member = _compiled(shape.member, known)
    limits = _limits(shape, "members")

    def validate(value: Any, place: str, found: list[str]) -> None:
        if not isinstance(value, list | tuple):
            found.append(f"{place} is {_shown(value)}, and not a list")
            return
        limits(len(value), place, found)
        for one in value:
            member(one, place, found)

    return validate


def _mapped(shape: Any, known: dict[str, Validator]) -> Validator:
    key, member = _compiled(shape.key, known), _compiled(shape.value, known)
    limits = _limits(shape, "entries")

    def validate(value: Any, place: str, found: list[str]) -> None:
        if not isinstance(value, Mapping):
            found.append(f"{place} is {_shown(value)}, and not a map")
            return
        limits(len(value), place, found)
        for name, one in value.items():
            key(name, place, found)
            member(one, place, found)

    return validate


def _text(shape: Any, known: dict[str, Validator]) -> Validator:
    limits = _limits(shape, "characters")
    values = frozenset(shape.enum) - {None}
    pattern = _pattern(shape.metadata.get("pattern"))
    limited = bool({"min", "max"} & shape.metadata.keys())
    by_region = shape.name == "BucketLocationConstraint"
    copied = shape.name == "CopySource"

    def validate(value: Any, place: str, found: list[str]) -> None:
        if copied and isinstance(value, Mapping):
            return  # boto3 makes text of it
        if not isinstance(value, str):
            found.append(f"{place} is {_shown(value)}, and not text")
            return
        if values and value not in values and not by_region:
            found.append(f"{place} is {_shown(value)}, and not one of {sorted(values)}")
        if limited:
            limits(len(value), place, found)
        if pattern is not None and not pattern(value):
            found.append(f"{place} is {_shown(value)}, not like {shape.metadata['pattern']}")

    return validate


def _number(shape: Any, known: dict[str, Validator]) -> Validator:
    limits = _limits(shape, "as a number")

    def validate(value: Any, place: str, found: list[str]) -> None:
        if isinstance(value, bool) or not isinstance(value, int):
            found.append(f"{place} is {_shown(value)}, and not a whole number")
            return
        limits(value, place, found)

    return validate


def _boolean(shape: Any, known: dict[str, Validator]) -> Validator:
    def validate(value: Any, place: str, found: list[str]) -> None:
        if not isinstance(value, bool):
            found.append(f"{place} is {_shown(value)}, and neither true nor false")

    return validate


def _scalar(shape: Any, known: dict[str, Validator]) -> Validator:
    """Of other types, botocore converts what it is given."""
    return lambda value, place, found: None


_MAKERS: Final[Mapping[str, Callable[[Any, dict[str, Validator]], Validator]]] = {
    "structure": _structure,
    "list": _listed,
    "map": _mapped,
    "string": _text,
    "integer": _number,
    "long": _number,
    "boolean": _boolean,
}


def _limits(shape: Shape, unit: str) -> Callable[[int, str, list[str]], None]:
    least, most = shape.metadata.get("min"), shape.metadata.get("max")

    def check(size: int, place: str, found: list[str]) -> None:
        if least is not None and size < least:
            found.append(f"{place} has {size} {unit}, fewer than {least}")
        if most is not None and size > most:
            found.append(f"{place} has {size} {unit}, more than {most}")

    return check


def _pattern(text: str | None) -> Callable[[str], Any] | None:
    """Patterns without anchors are of whole values. Those that only Java reads are left out."""
    if text is None:
        return None
    try:
        compiled = re.compile(text)
    except re.error:
        return None
    return compiled.search if text.startswith("^") else compiled.fullmatch


def _shown(value: Any) -> str:
    return repr(value)[:_SHOWN]
