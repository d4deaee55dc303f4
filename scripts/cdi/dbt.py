"""dbt, run in this process: one start-up for all that a command needs."""

from __future__ import annotations

import json
import logging
import os
import re
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from cdi.errors import CdiError, WarehouseError, mask_secrets
from cdi.project import Project

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class NodeResult:
    """What became of one node: a model, a seed or a test."""

    unique_id: str
    name: str
    resource_type: str
    status: str
    seconds: float
    message: str = ""
    failures: int | None = None
    compiled: str = field(default="", repr=False)

    @property
    def failed(self) -> bool:
        """Whether the node stopped what depends on it."""
        return self.status in ("error", "fail", "runtime error")


@dataclass(frozen=True)
class DbtResult:
    """What became of one invocation of dbt."""

    success: bool
    nodes: list[NodeResult] = field(default_factory=list)
    manifest: Any = None
    invocation_id: str = ""


def run_dbt(
    project: Project,
    arguments: Iterable[str],
    variables: Mapping[str, Any] | None = None,
    manifest: Any = None,
) -> DbtResult:
    """Run one dbt command, for instance `["build", "--select", "profiles"]`.

    With the `manifest` of an earlier parse nothing is parsed again: the variables are then only seen by models' SQL.
    `as_of` is never seen by anything else: dbt parses the whole project anew where variables changed, and a run at
    another moment need not.
    A node that fails is in the result; what keeps dbt from running at all (a model that does not compile, a wrong
    variable, a warehouse that cannot be reached) raises CdiError with dbt's own sentence.
    """
    from dbt.cli.main import dbtRunner
    from dbt_common.invocation import get_invocation_id

    command, *rest = arguments
    shared = ["--log-level", "none", "--log-level-file", "info", "--no-use-colors", "--no-send-anonymous-usage-stats"]
    options = [
        "--project-dir", str(project.root),
        "--profiles-dir", str(project.profiles_dir),
        "--target", project.target,
    ]  # fmt: skip
    log.info("dbt %s", " ".join([command, *rest]))
    # Paths in profiles.yml, such as DuckDB's, are relative to the project.
    with chdir(project.root), _own_arguments(command):
        answer = None
        if manifest is None:
            parsed_with = {name: value for name, value in (variables or {}).items() if name != "as_of"}
            answer = dbtRunner().invoke([*shared, "parse", *options, *_vars(parsed_with), *_of_parse(command, rest)])
            manifest = answer.result
            _refuse_repeated_columns(project.root, manifest)
        if answer is None or (command != "parse" and answer.exception is None):
            answer = dbtRunner(manifest).invoke([*shared, command, *options, *_vars(variables), *rest])
    _release_warehouse()
    if answer.exception is not None:
        raise _as_error(project, answer.exception)
    return DbtResult(
        success=answer.success,
        nodes=[_node(project, result) for result in getattr(answer.result, "results", []) if hasattr(result, "node")],
        manifest=manifest,
        invocation_id=get_invocation_id(),
    )


def _of_parse(command: str, arguments: list[str]) -> list[str]:
    """The arguments of the parse before a command: what dbt writes about it, the command writes again when it ends."""
    if command == "parse":
        return arguments
    folder = arguments.index("--target-path") if "--target-path" in arguments else len(arguments)
    return ["--no-write-json", *arguments[folder : folder + 2]]


def _vars(variables: Mapping[str, Any] | None) -> list[str]:
    return ["--vars", json.dumps(dict(variables))] if variables else []


@contextmanager
def _own_arguments(command: str) -> Iterator[None]:
    """dbt writes this process's arguments into target/run_results.json: ours may name a person."""
    arguments = sys.argv
    sys.argv = ["cdi", command]
    try:
        yield
    finally:
        sys.argv = arguments


def load_manifest(project: Project) -> Any:
    """dbt's manifest of the project: all models, their YAML and their relations."""
    return run_dbt(project, ["parse", "--no-write-json"]).manifest


def _node(project: Project, result: Any) -> NodeResult:
    return NodeResult(
        unique_id=result.node.unique_id,
        name=result.node.name,
        resource_type=str(result.node.resource_type),
        status=str(result.status),
        seconds=result.execution_time,
        message=with_lines(project.root, mask_secrets(str(result.message or ""))),
        failures=result.failures,
        compiled=getattr(result.node, "compiled_code", None) or "",
    )


def _release_warehouse() -> None:
    # dbt-duckdb keeps the file open for the whole process; nobody else could write it meanwhile.
    from dbt.adapters.factory import cleanup_connections

    cleanup_connections()


def _as_error(project: Project, exception: BaseException) -> CdiError:
    lines = [line.strip() for line in mask_secrets(str(exception)).splitlines() if line.strip()]
    text = " ".join(lines)
    if "Could not set lock on file" in text:
        return WarehouseError(
            f"The DuckDB file {os.fspath(project.credentials.path)} is in use by another process.",
            "DuckDB lets one process write at a time: wait until it is done, or close it, and run again.",
        )
    if not isinstance(exception, Exception) or "Database Error" in text or "connection" in text.lower():
        return WarehouseError(f"dbt cannot work on target {project.target}: {text}")
    return CdiError(f"dbt stopped: {with_lines(project.root, text)}")


def _refuse_repeated_columns(root: Path, manifest: Any) -> None:
    """Raise CdiError where a model's YAML lists a column twice: dbt would pass over all but the last one."""
    problems = []
    for file in manifest.files.values() if manifest is not None else ():
        for model in (getattr(file, "dfy", None) or {}).get("models") or []:
            counts = Counter(column.get("name") for column in model.get("columns") or [])
            for column in (name for name, count in counts.items() if count > 1):
                path = file.path.original_file_path
                problems.append(f"{path}, {model['name']}, column {column}: the name is there twice; rename one")
    if problems:
        raise CdiError(f"{with_lines(root, '; '.join(problems))}.")


_MACROS = re.compile(
    r"(\s+> (in|called by) \S+ .*$)|(?<!\w)Compilation Error in sql_operation inline_query \(.*?\) ", re.S
)
_PLACE = re.compile(r"(?P<file>models/[\w./-]+\.ya?ml), (?P<model>\w+), column (?P<column>\w+)")


def with_lines(root: Path, text: str) -> str:
    """A message in which every column of a YAML file that it names has its line: models/x.yml:12, model, column y.

    Without dbt's list of the macros that it was in, which says nothing to who wrote the YAML.
    """
    text = _MACROS.sub("", text)

    def place(found: re.Match[str]) -> str:
        line = _line_of(root / found["file"], found["model"], found["column"])
        return f"{found['file']}{f':{line}' if line else ''}, {found['model']}, column {found['column']}"

    return _PLACE.sub(place, text)


def _line_of(file: Path, model: str, column: str) -> int | None:
    import yaml

    if not file.is_file():
        return None
    root = yaml.compose(file.read_text(encoding="utf-8"))
    for models in _values(root, "models"):
        for node in models.value:
            if any(name.value == model for name in _values(node, "name")):
                for columns in _values(node, "columns"):
                    for item in columns.value:
                        if any(name.value == column for name in _values(item, "name")):
                            return item.start_mark.line + 1
    return None


def _values(node: Any, key: str) -> list[Any]:
    return [value for name, value in getattr(node, "value", []) if name.value == key]
