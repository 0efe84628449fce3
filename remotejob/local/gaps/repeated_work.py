"""What moto works out anew with each request, though it is always the same.

None of it changes an answer: an update of an item takes half as long, and with it all that is run
here.
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
from moto.moto_server.werkzeug_app import DomainDispatcherApplication

# these modules ask not to be checked, so that their names are not known
_Traverser: Any = ast_nodes.__dict__["DepthFirstTraverser"]
_UpdateParser: Any = expressions.__dict__["UpdateExpressionParser"]

_KEPT: Final = 1024
"""Expressions, of which a program has a few dozen."""


def close_gap() -> None:
    """Have moto remember it."""
    _parse_expressions_once()
    _ask_traversers_once()
    _copy_trees_quickly()
    _find_backends_once()
    _list_methods_once()
    _write_attribute_values_as_they_are()


def _parse_expressions_once() -> None:
    # a list of six hundred, searched for each name of an expression
    keywords: Any = frozenset(ReservedKeywords.get_reserved_keywords())
    ReservedKeywords.KEYWORDS = keywords
    # whoever works on a tree copies it first
    parse = _UpdateParser.make
    _UpdateParser.make = lru_cache(_KEPT)(parse)
    stock = ConditionExpressionParser._lex_condition_expression

    @lru_cache(_KEPT)
    def lexed(expression: str) -> tuple[Any, ...]:
        return tuple(stock(ConditionExpressionParser(expression, {}, {})))

    def lex(self: ConditionExpressionParser) -> deque[Any]:
        return deque(lexed(self.condition_expression))

    ConditionExpressionParser._lex_condition_expression = lex  # type: ignore[method-assign]


def _ask_traversers_once() -> None:
    """Which nodes a traverser of a syntax tree is for, it is asked at each node."""
    stock = _Traverser.nodes_to_be_processed

    def nodes_to_be_processed(self: Any) -> tuple[type, ...]:
        known: tuple[type, ...] | None = self.__dict__.get("_remotejob_nodes")
        if known is None:
            known = self.__dict__["_remotejob_nodes"] = stock(self)
        return known

    _Traverser.nodes_to_be_processed = nodes_to_be_processed


def _copy_trees_quickly() -> None:
    """Each update copies the tree of its expression first: from a pickle it takes a fifth."""
    stock = validators.__dict__["deepcopy"]

    def copied(original: Any) -> Any:
        if not isinstance(original, ast_nodes.__dict__["Expression"]):
            return stock(original)
        kept: bytes | None = original.__dict__.get("_remotejob_pickle")
        if kept is None:
            kept = pickle.dumps(original, pickle.HIGHEST_PROTOCOL)
            original.__dict__["_remotejob_pickle"] = kept
        return pickle.loads(kept)  # noqa: S301 (of this process's own making)

    validators.__dict__["deepcopy"] = copied


def _list_methods_once() -> None:
    """A service looks through its own methods at each request."""
    names = responses.__dict__["method_names_from_class"]
    responses.__dict__["method_names_from_class"] = lru_cache(_KEPT)(names)


def _find_backends_once() -> None:
    """Which of moto's services a host is: it lists a folder of its own, and tries patterns."""
    stock = DomainDispatcherApplication.get_backend_for_host
    found: dict[str, Any] = {}

    def get_backend_for_host(self: DomainDispatcherApplication, host: str | None) -> Any:
        if host is None:
            return None
        if host not in found:
            found[host] = stock(self, host)
        return found[host]

    DomainDispatcherApplication.get_backend_for_host = get_backend_for_host  # type: ignore[method-assign]


def _write_attribute_values_as_they_are() -> None:
    """A text or a number of DynamoDB's is written as it is kept; its ten members are looked for."""
    stock = BaseJSONSerializer._serialize_type_structure

    def serialize(
        self: BaseJSONSerializer, serialized: Any, value: Any, shape: Any, key: str
    ) -> None:
        if shape.name == "AttributeValue" and key and type(value) is dict and len(value) == 1:
            ((kind, said),) = value.items()
            if kind in ("S", "N") and type(said) is str:
                self._default_serialize(serialized, {kind: said}, shape, key)
                return
        stock(self, serialized, value, shape, key)

    BaseJSONSerializer._serialize_type_structure = serialize  # type: ignore[method-assign]
