"""DynamoDB's expressions, parsed by the grammars on its pages.

Source: Amazon DynamoDB Developer Guide, "Condition and filter expressions, operators, and
functions", "Using update expressions", "Key condition expressions for the Query operation",
"Expression attribute names", "Reserved words in DynamoDB" and "Quotas in Amazon DynamoDB".
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final

from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

MOST_BYTES: Final = 4096
MOST_OPERATORS: Final = 300
_MOST_IN_LIST: Final = 100
_RESERVED: Final = frozenset(ReservedKeywords.get_reserved_keywords())
_TOKEN: Final = re.compile(
    r"\s*(?:(?P<value>:\w+)|(?P<name>#\w+|[A-Za-z]\w*)|(?P<number>\[\d+\])"
    r"|(?P<sign><>|<=|>=|[=<>+\-(),.]))",
    re.ASCII,
)
_COMPARATORS: Final = frozenset({"=", "<>", "<", "<=", ">", ">="})
_CONDITIONS: Final = {
    "attribute_exists": 1,
    "attribute_not_exists": 1,
    "attribute_type": 2,
    "begins_with": 2,
    "contains": 2,
}
"""Functions that are conditions, and how many operands they have."""
_CLAUSES: Final = frozenset({"SET", "REMOVE", "ADD", "DELETE"})
_LOGIC: Final = frozenset({"AND", "OR", "NOT", "BETWEEN", "IN"})

Path = tuple[str, ...]


class Invalid(Exception):
    """DynamoDB does not read the expression."""


@dataclass(slots=True)
class Parsed:
    """What an expression uses."""

    names: set[str] = field(default_factory=set)
    """Placeholders of names."""
    values: set[str] = field(default_factory=set)
    """Placeholders of values."""
    paths: set[Path] = field(default_factory=set)
    written: list[tuple[str, Path]] = field(default_factory=list)
    """Of an update: clause and path."""
    operands: list[tuple[str, str]] = field(default_factory=list)
    """Of an update: ADD or DELETE, and its value; of a condition: a function and its value."""
    operators: int = 0
    comparisons: list[tuple[str, str]] = field(default_factory=list)
    """Of a condition: the first part of a path, and the operator or function it stands with."""


@lru_cache(maxsize=4096)
def parse_condition(text: str) -> Parsed:
    """A condition, filter or key condition. Raises: Invalid."""
    parser = _Parser(text)
    parser.condition()
    return parser.ended()


@lru_cache(maxsize=4096)
def parse_update(text: str) -> Parsed:
    """An update expression. Raises: Invalid."""
    parser = _Parser(text)
    parser.update()
    return parser.ended()


@lru_cache(maxsize=256)
def parse_projection(text: str) -> Parsed:
    """A projection expression. Raises: Invalid."""
    parser = _Parser(text)
    parser.path()
    while parser.takes(","):
        parser.path()
    return parser.ended()


def overlaps(paths: list[Path]) -> Iterator[tuple[Path, Path]]:
    """Pairs of paths of which one is the other, or holds it."""
    for number, one in enumerate(paths):
        for other in paths[number + 1 :]:
            shorter = min(len(one), len(other))
            if one[:shorter] == other[:shorter]:
                yield one, other


class _Parser:
    def __init__(self, text: str) -> None:
        size = len(text.encode())
        if not text.strip():
            raise Invalid("it is empty")
        if size > MOST_BYTES:
            raise Invalid(f"it has {size:,} bytes, more than {MOST_BYTES:,}")
        self._tokens = _tokens(text)
        self._at = 0
        self.found = Parsed()

    # -- conditions

    def condition(self) -> None:
        self._alternative()
        while self.takes("OR"):
            self.found.operators += 1
            self._alternative()

    def _alternative(self) -> None:
        self._negatable()
        while self.takes("AND"):
            self.found.operators += 1
            self._negatable()

    def _negatable(self) -> None:
        while self.takes("NOT"):
            self.found.operators += 1
        if self.takes("("):
            self.condition()
            self._expect(")")
            return
        token = self._peek()
        if token in _CONDITIONS and self._peek(1) == "(":
            self._function(token, _CONDITIONS[token])
            return
        self._comparison()

    def _comparison(self) -> None:
        left = self._operand()
        self.found.operators += 1
        operator = self._next()
        if operator in _COMPARATORS:
            self._compared(left, operator)
            self._compared(self._operand(), operator)
        elif operator.upper() == "BETWEEN":
            self._compared(left, "BETWEEN")
            self._operand()
            self._expect("AND")
            self._operand()
        elif operator.upper() == "IN":
            self._compared(left, "IN")
            self._expect("(")
            count = 1
            self._operand()
            while self.takes(","):
                self._operand()
                count += 1
            self._expect(")")
            if count > _MOST_IN_LIST:
                raise Invalid(f"its IN has {count} values, more than {_MOST_IN_LIST}")
        else:
            raise Invalid(f"{operator!r} is no operator")

    def _compared(self, operand: str | Path, operator: str) -> None:
        if isinstance(operand, tuple):
            self.found.comparisons.append((operand[0], operator))

    def _operand(self) -> str | Path:
        """A value, a path, or the size of one."""
        if self._peek() == "size" and self._peek(1) == "(":
            self._function("size", 1)
            return "size"
        return self._value() if self._peek().startswith(":") else self.path()

    def _function(self, name: str, operands: int) -> None:
        self.found.operators += 1
        self._next()
        self._expect("(")
        path = self.path()
        self.found.comparisons.append((path[0], name))
        for _ in range(operands - 1):
            self._expect(",")
            operand = self._operand()
            if isinstance(operand, str):
                self.found.operands.append((name, operand))
        self._expect(")")

    # -- updates

    def update(self) -> None:
        seen: set[str] = set()
        while self._peek():
            clause = self._next().upper()
            if clause not in _CLAUSES:
                raise Invalid(f"{clause!r} is no clause of an update")
            if clause in seen:
                raise Invalid(f"{clause} is in it twice")
            seen.add(clause)
            self._action(clause)
            while self.takes(","):
                self._action(clause)
        if not seen:
            raise Invalid("it is empty")

    def _action(self, clause: str) -> None:
        path = self.path()
        self.found.written.append((clause, path))
        if clause == "SET":
            self._expect("=")
            self.found.operators += 1
            self._assigned()
            if self._peek() in ("+", "-"):
                self.found.operators += 1
                self._next()
                self._assigned()
        elif clause in ("ADD", "DELETE"):
            self.found.operators += 1
            self.found.operands.append((clause, self._value()))

    def _assigned(self) -> None:
        token = self._peek()
        if token in ("if_not_exists", "list_append") and self._peek(1) == "(":
            self.found.operators += 1
            self._next()
            self._expect("(")
            if token == "if_not_exists":
                self.path()
            else:
                self._assigned()
            self._expect(",")
            self._assigned()
            self._expect(")")
            return
        if token.startswith(":"):
            self._value()
        else:
            self.path()

    # -- parts of both

    def path(self) -> Path:
        parts = [self._name()]
        while True:
            if self.takes("."):
                parts.append(self._name())
            elif self._peek().startswith("["):
                parts.append(self._next())
            else:
                break
        path = tuple(parts)
        self.found.paths.add(path)
        return path

    def _name(self) -> str:
        token = self._next()
        if token.startswith("#"):
            self.found.names.add(token)
            return token
        if not token or not token[0].isalpha():
            raise Invalid(f"{token!r} stands where a name is expected")
        if token.upper() in _RESERVED:
            raise Invalid(f"{token!r} is a reserved word; only a placeholder can name it")
        return token

    def _value(self) -> str:
        token = self._next()
        if not token.startswith(":"):
            raise Invalid(f"{token!r} stands where a value is expected")
        self.found.values.add(token)
        return token

    def takes(self, wanted: str) -> bool:
        token = self._peek()
        if token == wanted or (wanted in _LOGIC and token.upper() == wanted):
            self._at += 1
            return True
        return False

    def _expect(self, wanted: str) -> None:
        if not self.takes(wanted):
            raise Invalid(f"{self._peek()!r} stands where {wanted!r} is expected")

    def _peek(self, ahead: int = 0) -> str:
        at = self._at + ahead
        return self._tokens[at] if at < len(self._tokens) else ""

    def _next(self) -> str:
        token = self._peek()
        if not token:
            raise Invalid("it ends too early")
        self._at += 1
        return token

    def ended(self) -> Parsed:
        if self._at < len(self._tokens):
            raise Invalid(f"{self._peek()!r} stands after its end")
        if self.found.operators > MOST_OPERATORS:
            raise Invalid(
                f"it has {self.found.operators} operators and functions, more than {MOST_OPERATORS}"
            )
        return self.found


def _tokens(text: str) -> list[str]:
    found, at, end = [], 0, len(text.rstrip())
    while at < end:
        match = _TOKEN.match(text, at)
        if match is None:
            raise Invalid(f"{text[at : at + 20]!r} is nothing that an expression has")
        found.append(match[0].strip())
        at = match.end()
    return found
