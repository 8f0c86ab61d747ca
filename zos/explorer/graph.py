"""GraphQL over the tables: the queries that grid clients send, by the names of the grid's indexer."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from typing import Any
from uuid import uuid4

from graphql import (
    DocumentNode,
    ExecutionResult,
    FieldNode,
    FragmentDefinitionNode,
    FragmentSpreadNode,
    GraphQLError,
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
from zos.explorer.database import Readers
from zos.explorer.graphtypes import Rows, Types

log = logging.getLogger("zos.explorer")

MOST_TOKENS = 4000
DEEPEST = 8
MOST_NESTED = 40
WIDEST = 40
"""Fields at the top of one request."""
MOST_FIELDS = 1000


class Graph:
    """Answers GraphQL requests."""

    def __init__(self, readers: Readers) -> None:
        self._readers = readers
        self.schema = GraphQLSchema(Types().query())

    async def answer(self, body: bytes) -> tuple[int, dict[str, Any]]:
        """HTTP status and JSON body for a request's JSON body."""
        try:
            text, variables, name = _request(body)
            document = visit(parse(text, max_tokens=MOST_TOKENS), _Ids())
            _bound(document)
        except GraphQLError as err:
            return 400, {"errors": [err.formatted]}
        if errors := validate(self.schema, document, max_errors=5):
            return 400, {"errors": [err.formatted for err in errors]}
        result = await self._readers.run(lambda db: self._executed(db, document, variables, name))
        return 200, dict(result.formatted)

    def _executed(
        self, db: Connection, document: DocumentNode, variables: dict[str, Any] | None, name: str | None
    ) -> ExecutionResult:
        result = execute(self.schema, document, None, Rows(db), variables, name)
        assert isinstance(result, ExecutionResult)  # nothing here is asynchronous
        errors = [_shown(err) for err in result.errors] if result.errors else None
        return ExecutionResult(result.data, errors)


class _Ids(Visitor):
    """Ids are texts here, and for the grid's indexer; a client of both declares its variables as `ID!`."""

    def enter_named_type(self, node: NamedTypeNode, *_: Any) -> NamedTypeNode | None:
        return NamedTypeNode(name=NameNode(value="String"), loc=node.loc) if node.name.value == "ID" else None


def _shown(err: GraphQLError) -> GraphQLError:
    """The error as strangers may see it: our own failures stay in the journal."""
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
    if max(_nesting(asked["query"]), _nesting(json.dumps(variables))) > MOST_NESTED:
        raise GraphQLError(f"a request may be nested {MOST_NESTED} deep")
    return asked["query"], variables, name


def _nesting(text: str) -> int:
    """How deep brackets are nested at most (those in texts count as well): parsers of these recurse."""
    deepest = depth = 0
    for char in text:
        if char in "{[(":
            depth += 1
            deepest = max(deepest, depth)
        elif char in "}])":
            depth -= 1
    return deepest


def _bound(document: DocumentNode) -> None:
    """Refuse what is out of all proportion before it costs anything."""
    fragments = {
        one.name.value: one.selection_set for one in document.definitions if isinstance(one, FragmentDefinitionNode)
    }
    for one in document.definitions:
        if isinstance(one, OperationDefinitionNode):
            seen = [0]
            _walk(one.selection_set, fragments, 1, seen)
            if len(one.selection_set.selections) > WIDEST:
                raise GraphQLError(f"a request may have {WIDEST} fields at the top")


def _walk(selected: SelectionSetNode, fragments: Mapping[str, SelectionSetNode], depth: int, seen: list[int]) -> None:
    for one in selected.selections:
        seen[0] += 1
        if seen[0] > MOST_FIELDS:
            raise GraphQLError(f"a request may ask for {MOST_FIELDS} fields")
        if depth > DEEPEST:
            raise GraphQLError(f"a request may be {DEEPEST} fields deep")
        inner: SelectionSetNode | None = None
        if isinstance(one, FragmentSpreadNode):
            inner = fragments.get(one.name.value)
        elif isinstance(one, InlineFragmentNode) or (
            isinstance(one, FieldNode) and not one.name.value.startswith("__")
        ):
            inner = one.selection_set
        if inner is not None:
            _walk(inner, fragments, depth + 1, seen)
