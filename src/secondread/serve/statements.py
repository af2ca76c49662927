"""Statements whose SQL Django works out once in a process, for the road that every image takes.

Django builds the SQL of a query anew each time, which costs several times what a small query itself does. Here a query
is written as always, with a `Slot` where a value will stand; compiled at its first use, it is only run from then on.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, connections
from django.db.models import AutoField, Expression, Field, Model, QuerySet
from django.db.models.sql import UpdateQuery

Row = tuple[Any, ...]
Kind = TypeVar("Kind", bound=Model)


class Slot(Expression):
    """Where the value called `name` will stand; it is given to the database as `model`'s `field` would be."""

    def __init__(self, name: str, model: type[Model], field: str) -> None:
        found: Any = model._meta.get_field(field)
        super().__init__(output_field=getattr(found, "target_field", found))  # a foreign key holds what it points at
        self.name = name

    def as_sql(self, compiler: Any, connection: Any) -> tuple[str, list[Any]]:  # type: ignore[override]
        return "%s", [self]

    def adapted(self, value: Any, connection: Any) -> Any:
        field: Field[Any, Any] = self.output_field
        return field.get_db_prep_save(value, connection)  # None is NULL, of a JSON column too


class Select:
    """Rows of a `values_list`."""

    def __init__(self, build: Callable[[], QuerySet[Any, Row]]) -> None:
        self.build = build
        self.compiled: dict[str, tuple[str, list[Any], Any]] = {}

    def rows(self, **values: Any) -> list[Row]:
        connection = connections[DEFAULT_DB_ALIAS]  # itself, not the proxy that looks it up at each attribute
        sql, parameters, converters = self._sql(connection)
        with connection.cursor() as cursor:
            cursor.execute(sql, _filled(parameters, values, connection))
            found = cursor.fetchall()
        return [_converted(row, converters, connection) for row in found]

    def first(self, **values: Any) -> Row | None:
        found = self.rows(**values)
        return found[0] if found else None

    def _sql(self, connection: Any) -> tuple[str, list[Any], Any]:
        if connection.vendor not in self.compiled:
            compiler = self.build().query.get_compiler(connection=connection)
            sql, parameters = compiler.as_sql()
            columns = [column for column, *_ in compiler.select[: compiler.col_count]]
            converters = [(at, *found) for at, found in compiler.get_converters(columns).items()]
            self.compiled[connection.vendor] = sql, list(parameters), converters
        return self.compiled[connection.vendor]


class Update:
    """`QuerySet.update` of what `build` finds; gives the number of rows."""

    def __init__(self, build: Callable[[], QuerySet[Any]], **changes: Any) -> None:
        self.build, self.changes = build, changes
        self.compiled: dict[str, tuple[str, list[Any]]] = {}

    def __call__(self, **values: Any) -> int:
        connection = connections[DEFAULT_DB_ALIAS]
        if connection.vendor not in self.compiled:
            query: Any = self.build().query.chain(UpdateQuery)
            query.add_update_values(self.changes)
            sql, parameters = query.get_compiler(connection=connection).as_sql()
            self.compiled[connection.vendor] = sql, list(parameters)
        sql, parameters = self.compiled[connection.vendor]
        with connection.cursor() as cursor:
            cursor.execute(sql, _filled(parameters, values, connection))
            return int(cursor.rowcount)


def insert(new: Model) -> None:
    """`new.save(force_insert=True)` without signals; a key that the database gives is not asked for."""
    connection: Any = connections[DEFAULT_DB_ALIAS]
    meta, quote = type(new)._meta, connection.ops.quote_name
    fields = [field for field in meta.concrete_fields if not isinstance(field, AutoField)]
    values = [field.get_db_prep_save(field.pre_save(new, add=True), connection) for field in fields]
    names, marks = (", ".join(parts) for parts in ([quote(field.column) for field in fields], ["%s"] * len(fields)))
    with connection.cursor() as cursor:
        cursor.execute(f"INSERT INTO {quote(meta.db_table)} ({names}) VALUES ({marks})", values)
    new._state.adding, new._state.db = False, connection.alias


def loaded(model: type[Kind], names: tuple[str, ...], row: Row) -> Kind:
    """The row of a `values_list` as an object; fields without a name here are read when asked for."""
    said = dict(zip(names, row, strict=True))
    in_order = [said[field.attname] for field in model._meta.concrete_fields if field.attname in said]
    return model.from_db(DEFAULT_DB_ALIAS, names, in_order)


def _filled(parameters: list[Any], values: dict[str, Any], connection: Any) -> list[Any]:
    if {one.name for one in parameters if isinstance(one, Slot)} != values.keys():
        raise TypeError("a statement is given a value for each of its slots, and no other")
    return [one.adapted(values[one.name], connection) if isinstance(one, Slot) else one for one in parameters]


def _converted(row: Row, converters: Any, connection: Any) -> Row:
    changed = list(row)
    for at, steps, expression in converters:
        for step in steps:
            changed[at] = step(changed[at], expression, connection)
    return tuple(changed)
