"""DynamoDB: queries that read one partition of the table or of an index, not the whole table.

What moto does: every Query sorts all items of the table, then checks each one.
What AWS does: a Query only reads the items of its partition.

We index the secondary partitions at the first query on an index and keep that up to date.
"""

from __future__ import annotations

import copy
from collections import defaultdict
from typing import Any

from moto.dynamodb.models.dynamo_type import DynamoType, Item
from moto.dynamodb.models.table import Table

from remotejob.local.keeping.changes import item_changed

Place = tuple[DynamoType, DynamoType | None]
#: Attribute of a table that holds its `Places`.
_ATTRIBUTE = "_secondary_places"


class Places:
    """Where the items of each partition of each secondary index are in the table."""

    def __init__(self, table: Table) -> None:
        self._partition_keys = {
            index.name: [k["AttributeName"] for k in index.schema if k["KeyType"] == "HASH"]
            for index in table.all_indexes()
        }
        self._partitions: dict[Any, dict[Place, None]] = defaultdict(dict)
        self._where: dict[Place, list[Any]] = {}
        for partition, items in table.items.items():
            if table.range_key_attr is None:
                self.put((partition, None), items)  # type: ignore[arg-type]
            else:
                for sort, item in items.items():
                    self.put((partition, sort), item)

    def fits(self, table: Table) -> bool:
        """Whether the table still has the indexes this was built for."""
        return set(self._partition_keys) == {index.name for index in table.all_indexes()}

    def put(self, place: Place, item: Item | None) -> None:
        """Record the item now at a place."""
        for key in self._where.pop(place, ()):
            self._partitions[key].pop(place, None)
        if item is None:
            return
        keys = []
        for index, names in self._partition_keys.items():
            values = tuple(item.attrs.get(name) for name in names)
            if all(value is not None for value in values):
                keys.append((index, values))
                self._partitions[index, values][place] = None
        self._where[place] = keys

    def of(self, index: str, conditions: dict[str, DynamoType]) -> list[Place]:
        """The places of the items in one partition of an index."""
        values = tuple(conditions.get(name) for name in self._partition_keys[index])
        return list(self._partitions.get((index, values), ()))


def reindex(table: Table, place: Place) -> None:
    """Record that the item at a place changed, if the table's indexes were ever queried."""
    item = _item(table, place)
    item_changed(table, place, item)
    places: Places | None = table.__dict__.get(_ATTRIBUTE)
    if places is not None:
        places.put(place, item)


def build_again(table: Table) -> None:
    """Index all items of a table at the next query: many have changed."""
    table.__dict__.pop(_ATTRIBUTE, None)


def close_gap() -> None:
    """Make Table.query see only the items that can match."""
    _keep_up_to_date()
    _narrow_queries()


def _keep_up_to_date() -> None:
    stock_put, stock_delete = Table.put_item, Table.delete_item

    def put_item(self: Table, *args: Any, **kw: Any) -> Item:
        item = stock_put(self, *args, **kw)
        reindex(self, (item.hash_key, item.range_key))
        return item

    def delete_item(self: Table, hash_key: DynamoType, range_key: DynamoType | None) -> Item | None:
        item = stock_delete(self, hash_key, range_key)
        reindex(self, (hash_key, range_key))
        return item

    Table.put_item = put_item  # type: ignore[method-assign]
    Table.delete_item = delete_item  # type: ignore[method-assign]


def _narrow_queries() -> None:
    stock = Table.query

    def query(
        self: Table,
        hash_key: DynamoType | None,
        *args: Any,
        index_name: str | None = None,
        hash_key_conditions: Any = None,
        **kw: Any,
    ) -> Any:
        # moto passes eight positional arguments; the index name is the seventh after the key.
        given = list(args)
        if len(given) > 6:
            index_name = given[6]
        view = self
        if index_name is None and hash_key is not None:
            view = _view(self, _partition(self, hash_key))
        elif index_name is not None and hash_key_conditions:
            known = {index.name for index in self.all_indexes()}
            if index_name in known:
                found = _places(self).of(index_name, dict(hash_key_conditions))
                view = _view(self, found)
        if len(given) <= 6:
            kw["index_name"] = index_name
        kw["hash_key_conditions"] = hash_key_conditions
        return stock(view, hash_key, *given, **kw)

    def sorted_items(
        self: Table, hash_keys: list[str], range_keys: list[str | None], items: list[Item]
    ) -> list[Item]:
        names = self._generate_attr_to_sort_by(hash_keys, range_keys)
        # Sort by plain values: moto's own values check types and convert at each comparison.
        items.sort(key=lambda item: [item.attrs[name].cast_value for name in names])
        return items

    Table.query = query  # type: ignore[method-assign]
    Table.sorted_items = sorted_items  # type: ignore[method-assign,assignment]


def _places(table: Table) -> Places:
    places: Places | None = table.__dict__.get(_ATTRIBUTE)
    if places is None or not places.fits(table):
        places = Places(table)
        table.__dict__[_ATTRIBUTE] = places
    return places


def _partition(table: Table, hash_key: DynamoType) -> list[Place]:
    items: Any = table.items.get(hash_key)
    if items is None:
        return []
    if table.range_key_attr is None:
        return [(hash_key, None)]
    return [(hash_key, sort) for sort in items]


def _view(table: Table, places: list[Place]) -> Table:
    """A view of the table with only these items, which it shares with the table."""
    items = [item for item in (_item(table, place) for place in places) if item is not None]
    if table.range_key_attr is not None:
        # In key order, because moto sorts again, which is fast when already sorted.
        items.sort(key=lambda item: item.range_key.cast_value if item.range_key else "")
    view = copy.copy(table)
    view.all_items = lambda: items  # type: ignore[method-assign]
    return view


def _item(table: Table, place: Place) -> Item | None:
    partition, sort = place
    items: Any = table.items.get(partition)
    if items is None or sort is None:
        return items  # type: ignore[no-any-return]
    return items.get(sort)  # type: ignore[no-any-return]
