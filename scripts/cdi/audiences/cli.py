"""The command `cdi audience compile`."""

from __future__ import annotations

from typing import Annotated

import typer

from cdi.errors import UsageError

audience = typer.Typer(name="audience", help="Audiences as YAML forms.", no_args_is_help=True)


@audience.callback()
def _group() -> None:
    """More commands may come."""


@audience.command("compile")
def compile_command(
    context: typer.Context,
    check: Annotated[bool, typer.Option("--check", help="Write nothing; fail if something would be.")] = False,
) -> None:
    """Write the SQL model and YAML of every form models/audiences/*.audience."""
    from cdi.audiences.forms import compile_forms, forms
    from cdi.dbt import load_manifest

    project = context.obj.project()
    compiled = compile_forms(project.root, load_manifest(project), check)
    changes = [*(("write", path) for path in compiled.written), *(("remove", path) for path in compiled.removed)]
    if check and changes:
        names = ", ".join(str(path.relative_to(project.root)) for _, path in changes)
        raise UsageError(f"{names}: not what the forms say.", "Run `cdi audience compile`.")
    for what, path in changes:
        typer.echo(f"{what} {path.relative_to(project.root)}")
    if not changes:
        typer.echo(f"The models of {len(forms(project.root)):,} forms are up to date.")
