"""Condition expressions, written once for every store.

A condition is a small tree. `holds` evaluates it on an item, for the in-memory store; `text`
renders it as a DynamoDB condition expression. Comparing an absent attribute gives false, as in
DynamoDB; so does comparing one of another type, wherever the comparison is part of a condition.

Source: Amazon DynamoDB, "Comparison operator and function reference".
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Protocol

from remotejob.domain.states import State
from remotejob.names import Field

Value = str | int | frozenset[str]
Item = Mapping[str, Value]
"""A record as the stores hold it: attribute names to text, whole numbers or sets of text."""


class Incomparable(TypeError):
    """The attribute has another type than the value it is compared with."""


def holds(expression: Expression, item: Item, values: Item) -> bool:
    """Whether a condition is true; an attribute of another type compares as an absent one."""
    try:
        return expression.holds(item, values)
    except Incomparable:
        return False


class Expression(Protocol):
    """A node of a condition."""

    def holds(self, item: Item, values: Item) -> bool:
        """Whether it is true for `item`, with `values` for the named values."""
        ...

    def text(self) -> str:
        """The expression in DynamoDB's syntax; named values begin with a colon."""
        ...

    def constants(self) -> Iterator[tuple[str, str]]:
        """Values that belong to the expression itself."""
        ...


@dataclass(frozen=True, slots=True)
class Present:
    field: Field

    def holds(self, item: Item, values: Item) -> bool:  # noqa: ARG002 (same shape for all)
        return self.field in item

    def text(self) -> str:
        return f"attribute_exists({self.field})"

    def constants(self) -> Iterator[tuple[str, str]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Absent:
    field: Field

    def holds(self, item: Item, values: Item) -> bool:  # noqa: ARG002 (same shape for all)
        return self.field not in item

    def text(self) -> str:
        return f"attribute_not_exists({self.field})"

    def constants(self) -> Iterator[tuple[str, str]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Is:
    """The attribute equals the named value."""

    field: Field
    value: str

    def holds(self, item: Item, values: Item) -> bool:
        return self.field in item and item[self.field] == values[self.value]

    def text(self) -> str:
        return f"{self.field} = :{self.value}"

    def constants(self) -> Iterator[tuple[str, str]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class IsNot:
    """The attribute is absent, or differs from the named value."""

    field: Field
    value: str

    def holds(self, item: Item, values: Item) -> bool:
        return item.get(self.field) != values[self.value]

    def text(self) -> str:
        # in DynamoDB, too, an absent attribute differs from every value
        return f"{self.field} <> :{self.value}"

    def constants(self) -> Iterator[tuple[str, str]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class Contains:
    """The attribute is a set that contains the named value."""

    field: Field
    value: str

    def holds(self, item: Item, values: Item) -> bool:
        members = item.get(self.field)
        return isinstance(members, frozenset) and values[self.value] in members

    def text(self) -> str:
        return f"contains({self.field}, :{self.value})"

    def constants(self) -> Iterator[tuple[str, str]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class AtMost:
    """The attribute is a number no greater than the named value."""

    field: Field
    value: str

    def holds(self, item: Item, values: Item) -> bool:
        return self.field in item and _attribute(item[self.field]) <= _number(values[self.value])

    def text(self) -> str:
        return f"{self.field} <= :{self.value}"

    def constants(self) -> Iterator[tuple[str, str]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class AtLeast:
    """The attribute is a number no smaller than the named value."""

    field: Field
    value: str

    def holds(self, item: Item, values: Item) -> bool:
        return self.field in item and _attribute(item[self.field]) >= _number(values[self.value])

    def text(self) -> str:
        return f"{self.field} >= :{self.value}"

    def constants(self) -> Iterator[tuple[str, str]]:
        return iter(())


@dataclass(frozen=True, slots=True)
class IsNotText:
    """The attribute is absent, or is not text."""

    field: Field

    def holds(self, item: Item, values: Item) -> bool:  # noqa: ARG002 (same shape for all)
        return not isinstance(item.get(self.field), str)

    def text(self) -> str:
        return f"NOT attribute_type({self.field}, :type_text)"

    def constants(self) -> Iterator[tuple[str, str]]:
        yield "type_text", "S"


@dataclass(frozen=True, slots=True)
class IsNotNumber:
    """The attribute is absent, or is not a number."""

    field: Field

    def holds(self, item: Item, values: Item) -> bool:  # noqa: ARG002 (same shape for all)
        value = item.get(self.field)
        return not isinstance(value, int) or isinstance(value, bool)

    def text(self) -> str:
        return f"NOT attribute_type({self.field}, :type_number)"

    def constants(self) -> Iterator[tuple[str, str]]:
        yield "type_number", "N"


@dataclass(frozen=True, slots=True)
class In:
    """The job is in one of these states."""

    states: frozenset[State]

    def holds(self, item: Item, values: Item) -> bool:  # noqa: ARG002 (same shape for all)
        state = item.get(Field.STATE)
        return isinstance(state, str) and state in self.states

    def text(self) -> str:
        names = sorted(self.states)
        if len(names) == 1:
            return f"{Field.STATE} = :{names[0]}"
        return f"{Field.STATE} IN ({', '.join(f':{name}' for name in names)})"

    def constants(self) -> Iterator[tuple[str, str]]:
        return ((str(name), str(name)) for name in sorted(self.states))


class All:
    """Every part holds."""

    __slots__ = ("parts",)

    def __init__(self, *parts: Expression) -> None:
        self.parts = parts

    def holds(self, item: Item, values: Item) -> bool:
        return all(holds(part, item, values) for part in self.parts)

    def text(self) -> str:
        return " AND ".join(part.text() for part in self.parts)

    def constants(self) -> Iterator[tuple[str, str]]:
        for part in self.parts:
            yield from part.constants()


class Either:
    """At least one part holds."""

    __slots__ = ("parts",)

    def __init__(self, *parts: Expression) -> None:
        self.parts = parts

    def holds(self, item: Item, values: Item) -> bool:
        return any(holds(part, item, values) for part in self.parts)

    def text(self) -> str:
        return f"({' OR '.join(f'({part.text()})' for part in self.parts)})"

    def constants(self) -> Iterator[tuple[str, str]]:
        for part in self.parts:
            yield from part.constants()


def state_is(*states: State) -> In:
    return In(frozenset(states))


def _attribute(value: Value) -> int:
    if not isinstance(value, int):
        raise Incomparable(f"cannot compare {value!r} as a number; store a whole number")
    return value


def _number(value: Value) -> int:
    if not isinstance(value, int):
        raise TypeError(f"cannot compare {value!r} as a number; store a whole number")
    return value
