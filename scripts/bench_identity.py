"""Time and memory of identity resolution, beside splink's connected components on the same links: part of `make bench`.

People have a user id, an e-mail and two to five devices; one device in a hundred is shared with somebody else, and a
kiosk with 20,000 people. The combinations are made in the warehouse, where the model identifier_sets would put them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from rich.table import Table

from bench import build, console, make_project
from cdi.demo_data.generate import generate, parse_end
from cdi.landing import land
from cdi.project import Project
from cdi.warehouse import connect

LINKS_PER_PERSON = 4.5
KIOSK_PEOPLE = 20_000
SCHEMA = '"identity"."identifier_sets"'


def combinations(first: int, last: int, load: str, kiosk_people: int, share_with: int) -> str:
    """The select of the combinations of persons `first` up to `last`; every device in a hundred is also somebody's
    of the persons up to `share_with`."""
    people = f"generate_series(cast({first} as bigint), cast({last - 1} as bigint))"
    # Numbers that look random and are the same on every warehouse.
    dice = "(number * 2654435761 + {0} * 40503) % 1000003"
    parts = [
        "select 'user_id:u' || number || chr(31) || 'email:e' || number || '@example.com' as identifiers,"
        " number * 16 as place from people",
        *(
            f"select case when {dice.format(device)} % 10 = 0 then 'email:e' || number || '@example.com'"
            f" else 'user_id:u' || number end || chr(31) || 'anonymous_id:d' || number || '-{device}',"
            f" number * 16 + {device} from people where {device} <= 2 + {dice.format(0)} % 4"
            for device in range(1, 6)
        ),
        f"select 'user_id:u' || ({dice.format(9)} * 7919 + number) % {share_with} || chr(31) || 'anonymous_id:d'"
        f" || number || '-1', number * 16 + 14 from people where {dice.format(7)} % 100 < 4",
        f"select 'user_id:u' || number || chr(31) || 'anonymous_id:kiosk', number * 16 + 15 from people"
        f" where number < {kiosk_people}",
    ]
    return f"""
        with people as (select number from {people} as numbers (number)),
        made as ({" union all ".join(parts)})
        select md5(identifiers) as identifier_set_id, identifiers,
            'e' || place as event_id,
            cast('2026-10-01' as timestamp) + ((place * 48271) % 2600003) * interval '1 second' as event_at,
            cast('{load}' as timestamp) as loaded_at
        from made
    """


@dataclass
class Resolution:
    """One run of identity_graph in a process of its own: the model alone, without dbt's start-up."""

    seconds: float
    peak_gigabytes: float


def resolve(project: Project, *arguments: str) -> Resolution:
    """Run the model and read its time from dbt's artifacts and the peak of its process."""
    result = build(project, "--select", "identity_graph", *arguments, command="run")
    return Resolution(result.slowest[0][1], result.peak_gigabytes)


def rounds(project: Project) -> str:
    """The rounds of the last run, step by step."""
    with connect(project) as warehouse:
        rows = warehouse.query(
            "select step, count(*), min(count_links), max(count_links) from identity.identity_graph_rounds"
            " where invocation_id ="
            " (select invocation_id from identity.identity_graph_runs order by run_at desc limit 1)"
            " group by step order by 4 desc"
        )
    return ", ".join(f"{step} {count} rounds ({most:,} links to {least:,})" for step, count, least, most in rows)


def splink_seconds(project: Project) -> float:
    """How long splink's clustering takes for the same links, without limits."""
    import duckdb
    from splink import DuckDBAPI
    from splink.clustering import cluster_pairwise_predictions_at_threshold

    with duckdb.connect(project.credentials.path) as connection:
        connection.execute("set threads = 2")
        for name, value in project.credentials.settings.items():
            connection.execute(f"set {name} = '{value}'")
        connection.execute(
            "create temp table links as select split_part(identifiers, chr(31), 2) as unique_id_l,"
            " split_part(identifiers, chr(31), 1) as unique_id_r, 1.0 as match_probability"
            f" from {SCHEMA}"
        )
        connection.execute(
            "create temp table nodes as select unique_id_l as unique_id from links union select unique_id_r from links"
        )
        api = DuckDBAPI(connection=connection)
        started = time.monotonic()
        clusters = cluster_pairwise_predictions_at_threshold(
            connection.table("nodes"), connection.table("links"), db_api=api, node_id_column_name="unique_id"
        )
        connection.execute(f"select count(*) from {clusters.physical_name}").fetchall()
        return time.monotonic() - started


def run(target: str, links: int, folder: Path, memory: str, with_splink: bool, keep: bool) -> None:
    """Measure one target at one size and print the table."""
    people = int(links / LINKS_PER_PERSON)
    kiosk = min(KIOSK_PEOPLE, people // 10)
    name = f"identity-{target}"
    shutil.rmtree(folder / name, ignore_errors=True)
    project = make_project(folder / name, target, memory)
    models = ["+identity_graph", "identity_refused_links", "identity_merges"]
    build(project, "--select", *models, "--exclude-resource-type", "test", "--exclude-resource-type", "unit_test")
    columns = "(identifier_set_id, identifiers, event_id, event_at, loaded_at)"
    with connect(project) as warehouse:
        warehouse.execute(f"insert into {SCHEMA} {columns}" + combinations(0, people, "2026-11-01", kiosk, people))
        if target == "postgres":
            warehouse.execute(f"analyze {SCHEMA}")
        made = warehouse.query(f"select count(*) from {SCHEMA}")[0][0]
    full = resolve(project, "--full-refresh")
    full_rounds = rounds(project)
    with connect(project) as warehouse:
        identifiers = warehouse.query("select count(*) from identity.identity_graph")[0][0]
        refused = warehouse.query("select count(*) from identity.identity_graph_decisions where decision = 'refused'")[
            0
        ][0]
        # 1% new: people who were not there, half of their shared devices those of people who were.
        warehouse.execute(
            f"insert into {SCHEMA} {columns}" + combinations(people, people + people // 100, "2026-11-02", 0, people)
        )
        new = warehouse.query(f"select count(*) from {SCHEMA}")[0][0] - made
    incremental = resolve(project)
    table = Table(title=f"identity on {target}: {identifiers:,} identifiers, {made:,} links, {refused:,} refused",
                  box=None, title_justify="left")  # fmt: skip
    for column in ("", "seconds", "beside", "ratio", "wanted"):
        table.add_column(column, justify="left" if not column else "right")
    wanted = "30 s" if target == "duckdb" and links <= 8_000_000 else "120 s" if target == "postgres" else ""
    table.add_row("full resolution with limits", f"{full.seconds:.1f}", "", "", wanted)
    ratio = incremental.seconds / full.seconds
    table.add_row(f"incremental run with {new:,} new links ({new / made:.1%})", f"{incremental.seconds:.1f}",
                  "the full one", f"{ratio:.2f}", "0.10")  # fmt: skip
    if with_splink:
        with connect(project) as warehouse:
            warehouse.execute("update events.identifier_rules set limit_count = null")
        plain = resolve(project, "--full-refresh")
        splink = splink_seconds(project)
        table.add_row("full resolution without limits", f"{plain.seconds:.1f}", "", "", "")
        table.add_row("splink's connected components", f"{splink:.1f}", "ours without limits",
                      f"{splink / plain.seconds:.2f}", "2")  # fmt: skip
    table.add_row("peak memory", f"{full.peak_gigabytes:.1f} GB", "", "", "20 GB")
    console.print(table)
    console.print(f"Rounds of the full one: {full_rounds}")
    if not keep:
        shutil.rmtree(folder / name, ignore_errors=True)


PAIRS = """
    with truth as (
        select identifier_type || ':' || identifier_value as identifier, min(person_id) as person_id
        from read_csv($truth, all_varchar = true)
        group by 1
        -- What several people carry (a kiosk, a mailbox of the family) is nobody's own.
        having count(distinct person_id) = 1
    ),
    placed as (select graph.profile_id, truth.person_id from truth inner join graph using (identifier)),
    pairs as (
        select
            (select sum(number * (number - 1) / 2)
             from (select count(*) as number from placed group by profile_id, person_id))
                as right_ones,
            (select sum(number * (number - 1) / 2) from (select count(*) as number from placed group by profile_id))
                as found,
            (select sum(number * (number - 1) / 2) from (select count(*) as number from placed group by person_id))
                as wanted
    )
    select right_ones / found, right_ones / wanted, (select max(number) from (
        select count(distinct person_id) as number from placed group by profile_id
    )) from pairs
"""
"""Precision and recall of pairs of identifiers, and the most people that one profile holds."""


def quality(folder: Path, people: int, keep: bool) -> None:
    """Who is who in demo data against the truth, with limits and, beside it, as plain components."""
    import duckdb

    shutil.rmtree(folder / "quality", ignore_errors=True)
    project = make_project(folder / "quality", "duckdb")
    generate(people, 90, 1, folder / "quality" / "demo", parse_end("2026-11-20"), 2)
    raw = folder / "quality" / "demo" / "raw"
    build(project, "--select", "+identity_graph", "--exclude-resource-type", "test")
    for source in sorted(raw.iterdir()):
        land(project, source.name, [source])
    build(project, "--select", "+identity_graph", "--exclude-resource-type", "test")
    table = Table(title=f"identity against the truth, demo data of {people:,} people", box=None, title_justify="left")
    for column in ("", "precision of pairs", "recall of pairs", "most people in a profile"):
        table.add_column(column, justify="left" if not column else "right")
    for name in ("with limits", "plain components"):
        with duckdb.connect(project.credentials.path, read_only=True) as connection:
            connection.execute("create temp view graph as select identifier, profile_id from identity.identity_graph")
            truth = str(folder / "quality" / "demo" / "truth" / "identifiers.csv.gz")
            precision, recall, most = connection.execute(PAIRS, {"truth": truth}).fetchall()[0]
        table.add_row(name, f"{precision:.4f}", f"{recall:.4f}", f"{most:,}")
        if name == "with limits":
            with connect(project) as warehouse:
                warehouse.execute("update events.identifier_rules set limit_count = null")
            resolve(project, "--full-refresh")
    console.print(table)
    if not keep:
        shutil.rmtree(folder / "quality", ignore_errors=True)


def main() -> None:
    """Read the options and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--links", type=int, default=7_000_000, help="links on DuckDB; 0 for none")
    parser.add_argument("--postgres-links", type=int, default=1_000_000, help="links on PostgreSQL; 0 for none")
    parser.add_argument("--people", type=int, default=2_000, help="people of the demo data that the truth is known of")
    parser.add_argument("--memory", default="5GB", help="DuckDB's memory_limit")
    parser.add_argument("--without-splink", action="store_true")
    parser.add_argument("--folder", type=Path, default=Path(os.environ.get("TMPDIR", "/tmp")) / "cdi-bench")
    parser.add_argument("--keep", action="store_true", help="leave the warehouse there")
    options = parser.parse_args()
    if options.people:
        quality(options.folder, options.people, options.keep)
    if options.links:
        run("duckdb", options.links, options.folder, options.memory, not options.without_splink, options.keep)
    if options.postgres_links:
        if "CDI_TEST_POSTGRES" in os.environ:
            run("postgres", options.postgres_links, options.folder, options.memory, False, options.keep)
        else:
            console.print("PostgreSQL left out: CDI_TEST_POSTGRES is not set (see scripts/postgres.sh).")


if __name__ == "__main__":
    main()
