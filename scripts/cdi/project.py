"""Where the dbt project lies and which warehouse its profile points at."""

from __future__ import annotations

import os
from argparse import Namespace
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from cdi.errors import UsageError, mask_secrets


@dataclass(frozen=True)
class Project:
    """A dbt project and the target (one output of profiles.yml) that commands work on."""

    root: Path
    profiles_dir: Path
    target: str
    credentials: Any = field(repr=False)

    @property
    def dialect(self) -> str:
        """The adapter's type: duckdb, postgres, snowflake, bigquery, redshift or spark."""
        return str(self.credentials.type)


def find_root(start: Path | None = None) -> Path:
    """The nearest folder at or above `start` (default: the working folder) that holds a dbt_project.yml.

    Raises UsageError where there is none.
    """
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        if (candidate / "dbt_project.yml").is_file():
            return candidate
    raise UsageError(
        f"There is no dbt_project.yml in {folder} or above it.",
        "Run cdi inside the project, or name its folder with --project-dir.",
    )


def find_profiles_dir(root: Path, profiles_dir: Path | None = None) -> Path:
    """The folder of profiles.yml, looked for as dbt does: option, DBT_PROFILES_DIR, project, ~/.dbt."""
    named = profiles_dir or (Path(value) if (value := os.environ.get("DBT_PROFILES_DIR")) else None)
    candidates = [named] if named else [root, Path.home() / ".dbt"]
    for candidate in candidates:
        if (candidate / "profiles.yml").is_file():
            return candidate.resolve()
    raise UsageError(
        f"There is no profiles.yml in {' or '.join(str(candidate) for candidate in candidates)}.",
        f"Copy {root / 'profiles.yml.example'} to {candidates[0] / 'profiles.yml'}.",
    )


def load_project(
    project_dir: Path | None = None, profiles_dir: Path | None = None, target: str | None = None
) -> Project:
    """Read dbt_project.yml and profiles.yml with dbt's own rules.

    Raises UsageError naming the file where a profile, a target or an environment variable is missing.
    """
    # dbt's imports take over a second: only commands that need a warehouse pay for them.
    from dbt.config.runtime import load_profile
    from dbt.exceptions import DbtProjectError
    from dbt.flags import set_from_args
    from dbt_common.context import set_invocation_context
    from dbt_common.exceptions import DbtBaseException

    root = find_root(project_dir)
    profiles = find_profiles_dir(root, profiles_dir)
    set_invocation_context(os.environ)
    set_from_args(Namespace(profiles_dir=str(profiles), project_dir=str(root)), None)
    try:
        profile = load_profile(str(root), {}, None, target)
    except DbtProjectError as error:
        raise UsageError(f"dbt_project.yml in {root} cannot be read: {_one_line(error)}") from None
    except DbtBaseException as error:
        raise UsageError(
            f"profiles.yml in {profiles} gives no usable target: {_one_line(error)}",
            "Compare it with profiles.yml.example.",
        ) from None
    credentials = profile.credentials
    if credentials.type == "duckdb" and credentials.path != ":memory:" and "://" not in credentials.path:
        # dbt reads the path from the working folder; we run dbt in the project's root.
        credentials = credentials.replace(path=str((root / credentials.path).resolve()))
    return Project(root=root, profiles_dir=profiles, target=profile.target_name, credentials=credentials)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file; raises UsageError with file, line and column where it is not YAML."""
    try:
        return yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        place = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else str(path)
        raise UsageError(f"{place}: {error.problem}.") from None


def _one_line(error: BaseException) -> str:
    return mask_secrets(" ".join(str(error).split()))
