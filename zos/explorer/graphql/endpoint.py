"""Answers GraphQL requests, within bounds on their size, depth and cost."""

from __future__ import annotations

import json
import logging
from collections import Counter
from collections.abc import Mapping
from functools import cache
from typing import Any
from uuid import uuid4

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
    GraphQLResolveInfo,
    GraphQLSchema,
    InlineFragmentNode,
    NamedTypeNode,
    NameNode,
    OperationDefinitionNode,
    SelectionSetNode,
    Visitor,
    execute,
    parse,
    validate,
    visit,
)
from sqlalchemy import Connection

from zos.errors import ZosError
from zos.explorer.graphql.types import OutOfBudget, RowReader, SchemaBuilder
from zos.explorer.store.pool import Frontend, QueryPool

log = logging.getLogger("zos.explorer")

MAX_TOKENS = 4000
MAX_DEPTH = 8
MAX_NESTING = 40
MAX_ROOT_FIELDS = 40
"""Fields at the top of one request."""
MAX_FIELDS = 1000
MAX_REPEATS = 8
SCHEMA_COST = 8
"""Times that a field of introspection counts: tools read it once."""


@cache
def schema() -> GraphQLSchema:
    """The schema: the same for every database."""
    return GraphQLSchema(SchemaBuilder().query())


class GraphqlEndpoint:
    def __init__(self, pool: QueryPool) -> None:
        self._pool = pool
        self._schema = schema()

    async def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """HTTP status and JSON body for a request's JSON body."""
        return await self._pool.run(lambda db: self._answered(db, body), Frontend.GRAPHQL)

    def _answered(self, db: Connection, body: bytes) -> tuple[int, dict[str, Any]]:
        """In a thread: reading a request takes its time too."""
        try:
            text, variables, name = _request(body)
            document = visit(parse(text, max_tokens=MAX_TOKENS), _IdsAreStrings())
            _check_size(document)
        except GraphQLError as err:
            return 400, {"errors": [err.formatted]}
        if errors := validate(self._schema, document, max_errors=5):
            return 400, {"errors": [err.formatted for err in errors]}
        reader = RowReader(db)
        try:
            result = execute(self._schema, document, None, reader, variables, name, middleware=[_counted])
        except OutOfBudget as err:
            return 200, {"data": None, "errors": [{"message": str(err)}]}
        assert isinstance(result, ExecutionResult)  # nothing here is asynchronous
        told = [_public(err) for err in result.errors] if result.errors else None
        return 200, dict(ExecutionResult(result.data, told).formatted)


def _counted(resolve: Any, root: Any, info: GraphQLResolveInfo[Any], **given: Any) -> Any:
    """Charge the request for each field of its answer, those of introspection too."""
    info.context.charge(SCHEMA_COST if info.parent_type.name.startswith("__") else 1)
    return resolve(root, info, **given)


class _IdsAreStrings(Visitor):
    """Declares variables of type `ID` as `String`, as our ids are: some clients declare them so."""

    def enter_named_type(self, node: NamedTypeNode, *_: Any) -> NamedTypeNode | None:
        return NamedTypeNode(name=NameNode(value="String"), loc=node.loc) if node.name.value == "ID" else None


def _public(err: GraphQLError) -> GraphQLError:
    """The error as clients may see it: the details of our own failures stay in the journal."""
    if err.original_error is None or isinstance(err.original_error, ZosError | GraphQLError):
        return err
    incident = uuid4().hex[:12]
    log.error("incident %s: %s", incident, err.message, exc_info=err.original_error)
    return GraphQLError(f"internal error, incident {incident}", err.nodes, path=err.path)


def _request(body: bytes) -> tuple[str, dict[str, Any] | None, str | None]:
    try:
        asked = json.loads(body)
    except (ValueError, RecursionError):
        raise GraphQLError("the body must be JSON: {query, variables, operationName}") from None
    if not isinstance(asked, dict) or not isinstance(asked.get("query"), str):
        raise GraphQLError("the body must have a query")
    variables, name = asked.get("variables"), asked.get("operationName")
    if variables is not None and not isinstance(variables, dict):
        raise GraphQLError("variables must be an object")
    if name is not None and not isinstance(name, str):
        raise GraphQLError("operationName must be text")
    if "\\u0000" in body.decode(errors="replace") or "\\u{0" in asked["query"]:
        raise GraphQLError("a NUL cannot be searched for")
    if max(_nesting(asked["query"]), _nesting(json.dumps(variables))) > MAX_NESTING:
        raise GraphQLError(f"a request may be nested {MAX_NESTING} deep")
    return asked["query"], variables, name


def _nesting(text: str) -> int:
    """How deep brackets are nested (those in strings count as well): the parsers recurse."""
    deepest = depth = 0
    for char in text:
        if char in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "}])":
            depth -= 1
    return deepest


def _check_size(document: DocumentNode) -> None:
    """Refuse requests that are too large, before they cost anything."""
    fragments = {
        one.name.value: one.selection_set for one in document.definitions if isinstance(one, FragmentDefinitionNode)
    }
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode):
            _walk(one.selection_set, fragments, 1, [0], Counter())
            if len(one.selection_set.selections) > MAX_ROOT_FIELDS:
                raise GraphQLError(f"a request may have {MAX_ROOT_FIELDS} fields at the top")


def _walk(
    selected: SelectionSetNode,
    fragments: Mapping[str, SelectionSetNode],
    depth: int,
    seen: list[int],
    names: Counter[str],
) -> None:
    """`names` counts the fields of one object: the validator compares each with all others of its name."""
    for one in selected.selections:
        seen[0] += 1
        if seen[0] > MAX_FIELDS:
            raise GraphQLError(f"a request may ask for {MAX_FIELDS} fields")
        if depth > MAX_DEPTH:
            raise GraphQLError(f"a request may be {MAX_DEPTH} fields deep")
        if isinstance(one, FragmentSpreadNode):
            if (inner := fragments.get(one.name.value)) is not None:
                _walk(inner, fragments, depth + 1, seen, names)
        elif isinstance(one, InlineFragmentNode):
            _walk(one.selection_set, fragments, depth + 1, seen, names)
        elif isinstance(one, FieldNode):
            name = (one.alias or one.name).value
            names[name] += 1
            if names[name] > MAX_REPEATS:
                raise GraphQLError(f"a request may name the same field {MAX_REPEATS} times")
            if one.selection_set is not None and not one.name.value.startswith("__"):
                _walk(one.selection_set, fragments, depth + 1, seen, Counter())
