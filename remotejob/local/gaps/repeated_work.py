"""Cache results that moto recomputes at each request.

This changes no answers. It halves the time of an item update, and so speeds up everything here.
"""

from __future__ import annotations

import pickle
from collections import deque
from functools import lru_cache
from typing import Any, Final

from moto.core import responses
from moto.core.serialize import BaseJSONSerializer
from moto.dynamodb.comparisons import ConditionExpressionParser
from moto.dynamodb.parsing import ast_nodes, expressions, validators
from moto.dynamodb.parsing.reserved_keywords import ReservedKeywords

# these modules opt out of type checking, so mypy does not know their names
_Traverser: Any = ast_nodes.__dict__["DepthFirstTraverser"]
_UpdateParser: Any = expressions.__dict__["UpdateExpressionParser"]

_CACHE_SIZE: Final = 1024
"""More than enough: a program uses a few dozen expressions."""


def close_gap() -> None:
    """Install the caches."""
    _parse_expressions_once()
    _ask_traversers_once()
    _copy_trees_quickly()
    _list_methods_once()
    _write_attribute_values_as_they_are()


def _parse_expressions_once() -> None:
    # moto searches a list of six hundred for each name in an expression
    keywords: Any = frozenset(ReservedKeywords.get_reserved_keywords())
    ReservedKeywords.KEYWORDS = keywords
    # safe to share: every user of a tree copies it first
    parse = _UpdateParser.make
    _UpdateParser.make = lru_cache(_CACHE_SIZE)(parse)
    stock = ConditionExpressionParser._lex_condition_expression

    @lru_cache(_CACHE_SIZE)
    def lexed(expression: str) -> tuple[Any, ...]:
        return tuple(stock(ConditionExpressionParser(expression, {}, {})))

    def lex(self: ConditionExpressionParser) -> deque[Any]:
        return deque(lexed(self.condition_expression))

    ConditionExpressionParser._lex_condition_expression = lex  # type: ignore[method-assign]


def _ask_traversers_once() -> None:
    """Cache which nodes a syntax tree traverser handles; moto asks it at each node."""
    stock = _Traverser.nodes_to_be_processed

    def nodes_to_be_processed(self: Any) -> tuple[type, ...]:
        known: tuple[type, ...] | None = self.__dict__.get("_remotejob_nodes")
        if known is None:
            known = self.__dict__["_remotejob_nodes"] = stock(self)
        return known

    _Traverser.nodes_to_be_processed = nodes_to_be_processed


def _copy_trees_quickly() -> None:
    """Copy expression trees through a pickle, in a fifth of the time; each update copies one."""
    stock = validators.__dict__["deepcopy"]

    def copy_tree(original: Any) -> Any:
        if not isinstance(original, ast_nodes.__dict__["Expression"]):
            return stock(original)
        pickled: bytes | None = original.__dict__.get("_remotejob_pickle")
        if pickled is None:
            pickled = pickle.dumps(original, pickle.HIGHEST_PROTOCOL)
            original.__dict__["_remotejob_pickle"] = pickled
        return pickle.loads(pickled)  # noqa: S301 (made by this process)

    validators.__dict__["deepcopy"] = copy_tree


def _list_methods_once() -> None:
    """Cache the list of a service's methods, which it builds at each request."""
    names = responses.__dict__["method_names_from_class"]
    responses.__dict__["method_names_from_class"] = lru_cache(_CACHE_SIZE)(names)


def _write_attribute_values_as_they_are() -> None:
    """Write DynamoDB text and number values directly; moto looks for each of ten members."""
    stock = BaseJSONSerializer._serialize_type_structure

    def serialize(
        self: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str
    ) -> None:
        if shape.name == "AttributeValue" and key and type(value) is dict and len(value) == 1:
            ((kind, text),) = value.items()
            if kind in ("S", "N") and type(text) is str:
                self._default_serialize(serialized, {kind: text}, shape, key)
                return
        stock(self, serialized, value, shape, key)

    BaseJSONSerializer._serialize_type_structure = serialize  # type: ignore[method-assign]
