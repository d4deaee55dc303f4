"""Tools that are declared in YAML alone: `http_tools` among the vars of dbt_project.yml (docs/tools/http.md)."""

from __future__ import annotations

import difflib
import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

import httpx
import jmespath
import jmespath.exceptions

from cdi.errors import UsageError
from cdi.project import read_yaml
from cdi.sync.tools import templates
from cdi.sync.tools.base import SYNC_KEYS, Delivery, Option, RefusedError
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Item, Request, RowError
from cdi.sync.tools.json_values import to_json

_FILE = "dbt_project.yml"
_TOOL_KEYS = ("url_env", "headers", "options", "knows_repeats", "upsert", "remove", "delete")
_OPERATION_KEYS = (
    "method", "path", "headers", "body", "row", "batch_size", "max_bytes", "rates", "connections", "success",
    "taken_if", "rejected",
)  # fmt: skip
_METHODS = ("POST", "PUT", "PATCH", "DELETE")
_NAMES = {"row", "rows", "sync", "run_id", "message_id", "request_id", "options"}
_HEADER_NAMES = {"env", "sync", "run_id", "message_id", "request_id", "options"}


def http_tools(root: Path) -> dict[str, type[HttpTool]]:
    """The tools that a project declares, by name; raises UsageError for a declaration that cannot be."""
    file = root / _FILE
    content = read_yaml(file) if file.is_file() else None
    found = ((content or {}).get("vars") or {}).get("http_tools") or {}
    place = f"{_FILE}, vars.http_tools"
    return {name: _tool(name, given, f"{place}.{name}") for name, given in _mapping(found, place).items()}


@dataclass(frozen=True)
class _Rejected:
    """Where an answer names the rows that it rejects."""

    rows: Any
    position: Any
    key: Any
    reason: Any

    def of(self, answer: Any, keys: list[Any]) -> dict[int, str]:
        """Position of the row in the request to the tool's words."""
        positions = {str(key): index for index, key in enumerate(keys)}
        rejected: dict[int, str] = {}
        for entry in self.rows.search(answer) or []:
            found = positions.get(str(self.key.search(entry))) if self.key else self.position.search(entry)
            if type(found) is not int or not 0 <= found < len(keys):
                raise ValueError("a row that was not sent")
            rejected[found] = str(self.reason.search(entry) or "rejected without a reason")
        return rejected


@dataclass(frozen=True)
class _Operation:
    """How rows of one operation are sent."""

    method: str
    path: Any
    headers: dict[str, Any]
    body: Any
    row: Any
    endpoint: Endpoint
    success: frozenset[int]
    taken_if: Any
    rejected: _Rejected | None
    fields: frozenset[str]
    """Fields of rows that its placeholders name."""


class DeclaredHttpTool(HttpTool):
    """What all tools that are declared in YAML have in common; each is a subclass of its own."""

    tool_name: ClassVar[str]
    operations: ClassVar[dict[str, _Operation]]
    own_headers: ClassVar[dict[str, Any]]
    is_idempotent: ClassVar[bool | None]

    def __init__(self, options: dict[str, Any], delivery: Delivery) -> None:
        # A tool that is not known to ignore a repeated event counts it twice; rows of other modes are overwritten.
        self.knows_repeats = delivery.mode != "append" if self.is_idempotent is None else self.is_idempotent
        self.variables: dict[str, str] = {}
        super().__init__(options, delivery)
        self.account = f"{self.tool_name} {self.url}"
        for name, operation in self.operations.items():
            # Rows to remove have only the key.
            known = set(delivery.fields) if name == "upsert" else {delivery.key}
            if delivery.fields and (unknown := sorted(operation.fields - known)):
                self.refuse(
                    f"'{unknown[0]}', which {self.tool_name} puts into {name}, "
                    + ("is not among the fields." if name == "upsert" else "is not the key, and all that is known.")
                )
            # A secret that is missing is found before anything is sent.
            self._headers(operation, self._context(message_id="", request_id=""))

    def endpoint(self, operation: str) -> Endpoint:
        return self.operations.get(operation, self.operations["upsert"]).endpoint

    def item(self, operation: str, row: dict[str, Any], message_id: str) -> Any:
        wanted = self.operations.get(operation)
        if not wanted:
            raise RowError(f"{self.tool_name} has no operation {operation}")
        context = self._context(message_id=message_id, row=row)
        if wanted.endpoint.max_rows == 1:
            wanted.path(context)
        return wanted.row(context)

    def request(self, operation: str, items: list[Item]) -> Request:
        wanted = self.operations[operation]
        ids = "\n".join(item.message_id for item in items)
        context = self._context(
            message_id=items[0].message_id,
            request_id=hashlib.sha256(f"{operation}\n{ids}".encode()).hexdigest(),
            row=items[0].row,
            rows=[item.value for item in items],
        )
        content = b"" if wanted.body is None else to_json(wanted.body(context))
        return Request(wanted.path(context), content, wanted.method, headers=self._headers(wanted, context))

    def deliver(self, operation: str, items: list[Item]) -> dict[int, str]:
        wanted = self.operations[operation]
        try:
            request = self.request(operation, items)
        except RowError as error:
            raise BadRowsError(str(error)) from None
        response = self.call(wanted.endpoint, request, items, good=set(wanted.success))
        return self.read(operation, items, response)

    def read(self, operation: str, items: list[Item], response: httpx.Response) -> dict[int, str]:
        wanted = self.operations[operation]
        if wanted.success and response.status_code not in wanted.success:
            raise BadRowsError(self.sentence(response))
        if not response.is_success or not (wanted.taken_if or wanted.rejected):
            return {}
        if not response.content and not wanted.taken_if:
            return {}
        try:
            answer = response.json()
            if wanted.taken_if and not wanted.taken_if.search(answer):
                raise BadRowsError(self.sentence(response))
            keys = [item.row[self.delivery.key] for item in items]
            return wanted.rejected.of(answer, keys) if wanted.rejected else {}
        except (ValueError, TypeError, jmespath.exceptions.JMESPathError):
            raise RefusedError("the answer is not as it was declared", in_doubt=True) from None

    def secrets(self) -> list[str]:
        return [*super().secrets(), *self.variables.values()]

    def _context(self, **values: Any) -> dict[str, Any]:
        return {"sync": self.delivery.sync, "run_id": self.delivery.run_id, "options": self.given, **values}

    def _headers(self, operation: _Operation, context: Mapping[str, Any]) -> dict[str, str]:
        return {
            name: str(template({**context, "env": self._variable}))
            for name, template in {**self.own_headers, **operation.headers}.items()
        }

    def _variable(self, name: str) -> str:
        value = os.environ.get(name, "")
        if not value:
            self.refuse(f"the environment variable {name} is not set.", f"{self.tool_name} needs it in a header.")
        self.variables[name] = value
        return value


def _tool(name: str, given: Any, place: str) -> type[HttpTool]:
    given = _mapping(given, place, _TOOL_KEYS)
    if not re.fullmatch(r"[a-z][a-z0-9_]*", name):
        raise UsageError(f"{place}: a name has lower-case letters, digits and underscores.")
    headers = _headers(given, place)
    options = given.get("options") or []
    if not isinstance(options, list) or any(
        not isinstance(each, str) or each in (*SYNC_KEYS, "url_env") for each in options
    ):
        raise UsageError(f"{place}.options must be a list of names that meta.sync does not have already.")
    operations = {
        operation: _operation(given[operation], f"{place}.{operation}", operation)
        for operation in ("upsert", "remove", "delete")
        if operation in given
    }
    if "upsert" not in operations:
        raise UsageError(f"{place}: upsert is missing, which says how rows are sent.")
    if unknown := sorted(templates.fields(given, "options") - set(options)):
        raise UsageError(f"{place}: a placeholder names options.{unknown[0]}, which is not among options.")
    modes = ("mirror", "upsert", "create", "audience", "append")
    members = {
        "__doc__": f"{name}, as {_FILE} declares it.",
        "tool_name": name,
        "url_env": _typed(given, "url_env", str, place, f"CDI_{name.upper()}_URL"),
        "options": {each: Option(required=True) for each in options},
        # Without a request that removes, nothing can be mirrored.
        "modes": modes if "remove" in operations else ("upsert", "create", "append"),
        "can_delete": "delete" in operations,
        "operations": operations,
        "own_headers": headers,
        "is_idempotent": _typed(given, "knows_repeats", bool, place, None),
    }
    return type(name, (DeclaredHttpTool,), members)


def _operation(given: Any, place: str, operation: str) -> _Operation:
    given = _mapping(given, place, _OPERATION_KEYS)
    method = _typed(given, "method", str, place, "POST").upper()
    if method not in _METHODS:
        raise UsageError(f"{place}.method '{method}' is not one of {', '.join(_METHODS)}.")
    size = _count(given, "batch_size", place, 1)
    path = _typed(given, "path", str, place, "")
    if path and not path.startswith("/"):
        raise UsageError(f"{place}.path must begin with a slash: it comes after the address.")
    row = given.get("row", "{{ row }}")
    body = given.get("body")
    if body is None and (operation == "upsert" or size > 1):
        body = "{{ rows }}" if size > 1 else "{{ rows[0] }}"
    templated = {
        "path": templates.path(path, f"{place}.path"),
        "row": templates.structure(row, f"{place}.row"),
        "body": None if body is None else templates.structure(body, f"{place}.body"),
    }
    _check_names([path, row, body], _NAMES, place)
    if size > 1 and "row" in templates.names([path, body]):
        raise UsageError(f"{place}: with a batch_size above 1, path and body have no one row, but rows.")
    return _Operation(
        method=method,
        headers=_headers(given, place),
        endpoint=Endpoint(
            operation, size, _count(given, "max_bytes", place, 1_000_000),
            _rates(given.get("rates") or [], place), _count(given, "connections", place, 1),
        ),
        success=frozenset(_statuses(given.get("success") or [], place)),
        taken_if=_query(given, "taken_if", place),
        rejected=_rejected(given.get("rejected"), f"{place}.rejected"),
        fields=frozenset(templates.fields([path, row, body], "row")),
        **templated,
    )  # fmt: skip


def _check_names(value: Any, known: set[str], place: str) -> None:
    if unknown := sorted(templates.names(value) - known):
        raise UsageError(f"{place}: a placeholder names '{unknown[0]}'.", f"There are: {', '.join(sorted(known))}.")


def _headers(given: Mapping[str, Any], place: str) -> dict[str, Any]:
    headers = _mapping(given.get("headers") or {}, f"{place}.headers")
    _check_names(headers, _HEADER_NAMES, f"{place}.headers")
    return {name.lower(): templates.structure(value, f"{place}.headers.{name}") for name, value in headers.items()}


def _rejected(given: Any, place: str) -> _Rejected | None:
    if given is None:
        return None
    given = _mapping(given, place, ("rows", "index", "key", "reason"))
    if "rows" not in given or ("index" in given) == ("key" in given):
        raise UsageError(f"{place} needs rows and either index or key.")
    return _Rejected(*(_query(given, name, place) for name in ("rows", "index", "key")),
                     _query({"reason": "reason"} | given, "reason", place))  # fmt: skip


def _query(given: Mapping[str, Any], name: str, place: str) -> Any:
    text = _typed(given, name, str, place, None)
    try:
        return text and jmespath.compile(text)
    except jmespath.exceptions.JMESPathError:
        raise UsageError(f"{place}.{name} '{text}' is no JMESPath.") from None


def _mapping(given: Any, place: str, known: tuple[str, ...] = ()) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise UsageError(f"{place} must be a mapping.")
    for name in given:
        if known and name not in known:
            near = difflib.get_close_matches(str(name), known, n=1)
            raise UsageError(
                f"{place}: '{name}' is not known.",
                (f"Did you mean {near[0]}? " if near else "") + f"It takes: {', '.join(known)}.",
            )
    return {str(name): value for name, value in given.items()}


def _typed(given: Mapping[str, Any], name: str, kind: type, place: str, default: Any) -> Any:
    value = given.get(name, default)
    if value is not None and type(value) is not kind:
        wanted = {str: "a text", int: "a whole number", bool: "true or false"}[kind]
        raise UsageError(f"{place}.{name} is {value!r}, but must be {wanted}.")
    return value


def _count(given: Mapping[str, Any], name: str, place: str, default: int) -> int:
    value = _typed(given, name, int, place, default)
    if value < 1:
        raise UsageError(f"{place}.{name} {value} is less than 1.")
    return value


def _rates(given: Any, place: str) -> tuple[tuple[int, float], ...]:
    try:
        rates = tuple((int(calls), float(seconds)) for calls, seconds in given)
    except (TypeError, ValueError):
        rates = ((0, 0.0),)
    if any(calls < 1 or seconds <= 0 for calls, seconds in rates):
        raise UsageError(f"{place}.rates must be pairs of requests and seconds: [[100, 60]].")
    return rates


def _statuses(given: Any, place: str) -> list[int]:
    if not isinstance(given, list) or any(type(each) is not int or not 200 <= each < 500 for each in given):
        raise UsageError(f"{place}.success must be a list of statuses, such as [200, 404].")
    return given
