"""The commands `cdi audience compile`, `preview` and `diff`."""

from __future__ import annotations

from typing import Annotated

import typer

from cdi.errors import UsageError

audience = typer.Typer(
    name="audience", help="Audiences before they are built, and as YAML forms.", no_args_is_help=True
)


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


@audience.command("preview")
def preview_command(
    context: typer.Context,
    name: Annotated[str, typer.Argument(help="The audience, by the name of its model.")],
    weeks: Annotated[int, typer.Option(help="How many weeks the trend goes back.", min=0)] = 8,
    sample: Annotated[int, typer.Option(help="How many members to show.", min=0)] = 10,
    personal: Annotated[
        bool, typer.Option("--personal-data", help="Show columns with personal data in the sample too.")
    ] = False,
) -> None:
    """Show an audience as its file says now: size, trend, channels, overlap and a sample. Builds nothing."""
    from rich.console import Console

    from cdi.audiences.preview import preview
    from cdi.audiences.show import show_preview

    show_preview(Console(), preview(context.obj.project(), name, weeks, sample, personal))


@audience.command("diff")
def diff_command(
    context: typer.Context,
    first: Annotated[str, typer.Argument(help="A git revision.")],
    second: Annotated[str | None, typer.Argument(help="Another (default: the files as they are).")] = None,
) -> None:
    """Show who would enter and leave by the definitions of one revision instead of another's. Builds nothing."""
    from rich.console import Console

    from cdi.audiences.diff import WORKING_TREE, audience_changes
    from cdi.audiences.show import show_changes

    changes = audience_changes(context.obj.project(), first, second)
    show_changes(Console(), changes, first, second or WORKING_TREE)
