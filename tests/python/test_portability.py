"""Every model compiles for every warehouse without a connection, and what comes out is in that warehouse's dialect."""

from __future__ import annotations

import functools
import re
import sys
import types
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
import yaml
from conftest import ROOT
from sqlfluff.core import FluffConfig, Linter

from cdi.dbt import run_dbt
from cdi.project import Project

# Enough for dbt to know the adapter; nothing is ever connected to.
TARGETS = {
    "snowflake": ("snowflake", {"account": "none", "user": "none", "password": "none", "database": "cdi"}),
    "bigquery": ("bigquery", {"method": "oauth-secrets", "token": "none", "project": "cdi"}),
    "redshift": ("redshift", {"host": "none", "user": "none", "password": "none", "dbname": "cdi", "port": 5439}),
    "spark": ("sparksql", {"method": "session", "host": "none"}),
}

# What sqlfluff lets through and the warehouse does not.
BANNED = {
    "bigquery": [r"::", r"\btext\b(?=\s*[,)])", r"\btimestamp without time zone\b"],
    "redshift": [r"\bjsonb_", r"\bjson_extract\b", r"\bstrftime\b"],
    "snowflake": [r"\bjsonb?_", r"\bstrftime\b"],
    "spark": [r"::", r"\bstrftime\b", r"\bjsonb_"],
}


def compile_for(target: str, folder: Path) -> dict[str, dict[str, str]]:
    """Compile the project for a target, in full and as later runs do: the SQL of each file by its name.

    Without the tests that dbt brings: what they compile to is dbt's own.
    """
    output = {"type": target, "schema": "cdi", "threads": 2, **TARGETS[target][1]}
    (folder / "profiles.yml").write_text(yaml.safe_dump({"cdi": {"target": target, "outputs": {target: output}}}))
    project = Project(root=ROOT, profiles_dir=folder, target=target, credentials=None)
    brought = [f"test_name:{name}" for name in ("unique", "not_null", "accepted_values", "relationships")]
    compiled: dict[str, dict[str, str]] = {}
    manifest = None
    # dbt-spark looks for the client of its connection although it will not connect; pyspark is 400 MB.
    # Taken back at once: other libraries look for it too.
    sys.modules["pyspark"] = types.ModuleType("pyspark")
    try:
        for name in ("full", "incremental"):
            arguments = ["compile", "--no-populate-cache", "--no-introspect", "--exclude", *brought]
            arguments += ["--target-path", str(folder / name)]
            variables = {"as_of": "2026-11-01", "compile_incremental": name == "incremental", "households": True}
            result = run_dbt(project, arguments, variables, manifest)
            assert result.success
            manifest = result.manifest
            files = sorted((folder / name / "compiled" / "cdi").rglob("*.sql"))
            compiled[name] = {path.name: path.read_text() for path in files}
    finally:
        del sys.modules["pyspark"]
    return compiled


def shortened(text: str) -> str:
    """Compiled SQL with the checks of three events of the tracking plan, and two of the moments that predictions are
    learned from, instead of all: they are made alike."""
    moment = "-- Ids are hashes: the first of them are a fair sample."
    moments = text.split(moment)
    text = moment.join([*moments[:2], *moments[2:][-1:]])
    branch = re.compile(
        r"^ +when plan_number = \d+ then .*?(?=^ +(?:when plan_number|-- What this|else ''))", re.M | re.S
    )
    branches = sorted(branch.findall(text), key=len)
    kept = {*branches[-1:], *branches[len(branches) // 2 :][:1], *branches[:1]}
    return branch.sub(lambda found: found[0] if found[0] in kept else "", text)


@functools.cache
def parser(dialect: str) -> Linter:
    """sqlfluff's parser of a dialect, made once in each process."""
    overrides = {"dialect": dialect, "templater": "raw", "large_file_skip_byte_limit": 0}
    return Linter(config=FluffConfig(overrides=overrides))


def unparsable(job: tuple[str, str, str]) -> list[str]:
    """What sqlfluff cannot parse of a target's file (target, name, SQL), as `file:line: text`."""
    target, name, text = job
    parsed = parser(TARGETS[target][0]).parse_string(shortened(text))
    return [f"{name}:{error.line_no}: {error.desc()}" for error in parsed.violations]


def banned(target: str, name: str, text: str) -> list[str]:
    """What of a file is not for a target though sqlfluff lets it through, as `file:line: text`."""
    found = []
    without_comments = re.sub(r"--[^\n]*", "", text)
    for pattern in BANNED.get(target, []):
        if match := re.search(pattern, without_comments):
            line = without_comments[: match.start()].count("\n") + 1
            found.append(f"{name}:{line}: {match.group(0)!r} is not for {target}")
    return found


# sqlfluff takes a minute for each dialect. An eighth of the files in each finds most of what breaks,
# for what differs between dialects comes from macros that many models call.
@pytest.mark.parametrize(
    "parts",
    [pytest.param(8, marks=pytest.mark.small, id="eighth"), pytest.param(1, marks=pytest.mark.slow, id="all")],
)
@pytest.mark.parametrize("target", list(TARGETS))
def test_every_model_is_in_the_dialect(target: str, parts: int, tmp_path: Path):
    compiled = compile_for(target, tmp_path)
    models = {path.name for path in (ROOT / "models").rglob("*.sql")}
    assert models <= compiled["full"].keys() == compiled["incremental"].keys()
    # Python models are where the adapter runs them; what it adds to them is Python still.
    scripts = sorted((tmp_path / "full" / "compiled" / "cdi").rglob("*.py"))
    of_python = (ROOT / "models").rglob("*.py") if target in ("snowflake", "bigquery") else []
    assert {path.stem for path in of_python} == {path.stem for path in scripts}
    for script in scripts:
        compile(script.read_text(), str(script), "exec")
    # Planned events that are views are made alike: one stands for all.
    left_out = {
        path.name for path in (ROOT / "models/events/planned").glob("*.sql")
        if path.stem != "checkout_started" and "incremental" not in path.read_text()
    }  # fmt: skip
    if target == "spark":
        # sqlfluff's parser of Spark's dialect goes deeper into it than Python allows; the other three parse it.
        left_out.add("training_examples.sql")
    # Of what later runs do, only what differs from the full build needs another look.
    differing = {name for name, text in compiled["incremental"].items() if text != compiled["full"][name]} - left_out
    assert len(differing) >= 10
    jobs = [(target, name, text) for name, text in compiled["full"].items() if name not in left_out]
    jobs += [(target, name, compiled["incremental"][name]) for name in differing]
    problems = [banned(*job) for job in jobs]
    # The longest first: none of them is then what all wait for at the end.
    jobs = sorted(jobs, key=lambda job: -len(job[2]))[list(TARGETS).index(target) % parts :: parts]
    with ProcessPoolExecutor(2) as pool:
        problems += pool.map(unparsable, jobs)
    assert not any(problems), "\n".join(line for lines in problems for line in lines)
