"""The command `cdi validate`."""

from __future__ import annotations

import uuid
from typing import Annotated

import typer
from rich.console import Console

from cdi.errors import GateError


def validate(
    context: typer.Context,
    gates: Annotated[
        list[str] | None, typer.Option("--gate", help="Floor whose gate to check; may be repeated (default: all).")
    ] = None,
) -> None:
    """Check the gates on what is built: the suites of tests/expectations. Exit code 3 where one stops."""
    from cdi.dbt import load_manifest
    from cdi.gates import GATES
    from cdi.gates.checkpoints import Gates, gate_message, import_in_background
    from cdi.gates.show import show_gates

    console = Console()
    import_in_background()
    project = context.obj.project()
    checks = Gates(project, load_manifest(project), uuid.uuid4().hex)
    with console.status("Checking the gates"):
        results = checks.check(gates or GATES)
        page = checks.write_docs()
    show_gates(console, results)
    if page:
        console.print(f"Data Docs: {page}", soft_wrap=True, highlight=False)
    if any(result.stopped_by for result in results):
        raise GateError(gate_message(results), "cdi run would build nothing above it, and send nothing: docs/gates.md.")
