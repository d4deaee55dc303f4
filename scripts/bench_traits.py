"""Time of traits and audiences beside one scan of the same events, on DuckDB: part of `make bench`.

The events are made in the warehouse: sessions of five events of people of whom few come often, over a year. The project
is cut to 40 traits and 20 audiences, or taken as it ships (--as-shipped). What lies below traits (events, identity,
sessions) is built first and not counted; what is counted is what dbt says that it worked, without its start-up. Seconds
of processor stand beside, which neighbours on the machine matter less to; of them the start-up is taken off.
"""

from __future__ import annotations

import argparse
import json
import re
import resource
import shutil
from dataclasses import dataclass
from pathlib import Path

import yaml
from rich.console import Console
from rich.table import Table

import bench
from bench import ROOT, build, make_project, timed
from cdi.project import Project
from cdi.warehouse import connect

console = Console(width=120)

_PREDICTED = "path:models/predictions+"
"""Predictions, and the audiences that use them: learning is no part of what is counted here."""
BELOW = [
    "--exclude",
    "path:models/profiles/traits+",
    "path:models/audiences",
    "path:models/activation",
    "profile_traits+",
    _PREDICTED,
]
MEASURED = [
    "--select",
    *["path:models/profiles/traits", "profile_traits", "accounts", "path:models/profiles/profiles.sql"],
    "path:models/audiences",
    "--exclude",
    _PREDICTED,
]
_CUT_TO = ("profile_identity", "profile_activity", "order_traits", "profile_carts", "browsing_traits")

_NAMES = ", ".join(
    f"'{name}'"
    for name in ["Product Viewed"] * 4
    + ["Product Added"] * 2
    + ["Product List Viewed", "Products Searched", "Email Opened", "Article Read", "Signed In", "Checkout Started"]
    + ["Order Completed"]
)
_MESSAGES = f"""
insert into raw.segment_messages (message, load_id, loaded_at, source_file, source_line)
with numbers as (
    select
        number,
        number // 5 as session,
        -- One in ten sessions is of the hundredth of people who come often.
        case when hash(number // 5, 1) % 10 = 0 then hash(number // 5, 2) % ($people // 100)
            else hash(number // 5, 3) % $people end as person,
        ([{_NAMES}])[cast(hash(number, 4) % 13 + 1 as bigint)] as event,
        timestamp '2026-11-20 00:00:00'
            - to_seconds(cast(($until - number // 5 * 5) * (365.0 * 86400 / $all) as bigint))
            + to_seconds(number % 5 * 40) as happened_at
    from range($since, $until) as numbers (number)
)
select
    to_json({{
        'type': case when number % 5 = 0 and person % 3 = 0 then 'identify' else 'track' end,
        'messageId': 'm' || number,
        'event': case when number % 5 = 0 and person % 3 = 0 then null else event end,
        'anonymousId': 'd' || person,
        'userId': case when person % 3 = 0 then 'u' || person end,
        'traits': {{'email': 'p' || person || '@example.com', 'firstName': 'P' || person}},
        'properties': {{
            'product_id': 'p' || hash(number, 5) % 500, 'name': 'Product ' || hash(number, 5) % 500,
            'category': 'category ' || hash(number, 5) % 20, 'brand': 'brand ' || hash(number, 5) % 30,
            'price': 10 + hash(number, 5) % 90, 'quantity': 1, 'query': 'word ' || hash(number, 6) % 1000,
            'topic': 'topic ' || hash(number, 7) % 10, 'campaign_name': 'mail ' || hash(number, 8) % 20,
            'order_id': 'o' || number, 'revenue': 20 + hash(number, 9) % 200, 'currency': 'EUR',
            'products': [{{
                'product_id': 'p' || hash(number, 5) % 500, 'name': 'Product ' || hash(number, 5) % 500,
                'category': 'category ' || hash(number, 5) % 20, 'brand': 'brand ' || hash(number, 5) % 30,
                'price': 20, 'quantity': 1
            }}]
        }},
        'originalTimestamp': strftime(happened_at, '%Y-%m-%dT%H:%M:%SZ'),
        'receivedAt': strftime(happened_at, '%Y-%m-%dT%H:%M:%SZ')
    }}),
    'load-' || $since, timestamp '2026-11-20 00:00:00' + to_seconds(cast($since // 1000 as bigint)), 'bench', number
from numbers
"""
_SCAN = """
create or replace table cdi.bench_scan as
select
    graph.profile_id,
    events.event,
    count(*) as count_events,
    min(events.event_at) as first_at,
    max(events.event_at) as last_at,
    sum(try_cast(json_extract_string(events.properties, '$.revenue') as numeric(18, 4))) as revenue
from events.events as events
inner join identity.identity_graph as graph on events.identifier = graph.identifier
group by 1, 2
"""


@dataclass
class Work:
    """What dbt worked: seconds in all, seconds of processor with its start-up, and seconds by node."""

    seconds: float
    processor: float
    nodes: dict[str, float]


def processor(who: int) -> float:
    """Seconds of processor that this process (resource.RUSAGE_SELF) or those it ran (RUSAGE_CHILDREN) took so far."""
    usage = resource.getrusage(who)
    return usage.ru_utime + usage.ru_stime


def work(project: Project, *arguments: str, as_of: str) -> Work:
    """Run a command of dbt in a process of its own, and read what it worked from its artifact."""
    before = processor(resource.RUSAGE_CHILDREN)
    build(project, *arguments, "--vars", json.dumps({"as_of": as_of}), command="run")
    taken = processor(resource.RUSAGE_CHILDREN) - before
    results = json.loads((project.profiles_dir / "target" / "run_results.json").read_text())
    nodes = {item["unique_id"].split(".")[-1]: item["execution_time"] for item in results["results"]}
    return Work(results["elapsed_time"], taken, nodes)


def copied(source: Path, root: Path) -> Path:
    """A copy of the project at `root`."""
    left_out = shutil.ignore_patterns(".git", ".venv", "target", "logs", "data", "output", "*.duckdb*", "__pycache__")
    return shutil.copytree(source, root, ignore=left_out, dirs_exist_ok=True)


def words_of(*paths: Path) -> set[str]:
    """The names in some files."""
    return {word for path in paths for word in re.findall(r"\w+", path.read_text())}


def cut(folder: Path) -> Path:
    """The project with 40 computed traits and 20 audiences, in a folder of its own.

    Traits are those of activity, orders, carts, browsing and scores, without the declared ones that nothing refers to;
    audiences are those that need no others, and one more. Names, addresses and four traits of accounts are there too.
    """
    root = copied(ROOT, folder / "cut")
    for name in ("analyses", "models/activation", "models/predictions"):
        shutil.rmtree(root / name)
    models = [yaml.safe_load(path.read_text())["models"][0] for path in (root / "models/profiles").rglob("[a-z]*.yml")]
    columns = {model["name"]: {column["name"] for column in model["columns"]} - {"profile_id"} for model in models}
    joined = root / "models/profiles/profile_traits.sql"
    names = re.findall(r"'(\w+)',", joined.read_text().split("%}")[0])
    gone: set[str] = set()
    for name in names:
        if name not in _CUT_TO:
            gone |= columns[name]
            for path in (root / "models/profiles/traits").glob(f"{name}.*"):
                path.unlink()
    joined.write_text("{%- set trait_models = " + str(list(_CUT_TO)) + " -%}" + joined.read_text().split("%}", 1)[1])
    gone |= {path.stem for path in (ROOT / "models/predictions").rglob("*.sql")}
    audiences = root / "models/audiences"
    while lacking := [path for path in audiences.glob("*.sql") if words_of(path) & gone]:
        for path in lacking:
            gone.add(path.stem)
            for other in audiences.glob(f"{path.stem}.*"):
                other.unlink()
    (audiences / "loyal_customers.sql").write_text(
        "{{ cdi.audience(all=[cdi.trait('rfm_segment', equals='loyal')], columns=['email']) }}\n"
    )
    used = words_of(*(root / "models").rglob("*.sql"))
    for name in ("order_traits", "browsing_traits"):
        path = root / f"models/profiles/traits/{name}.yml"
        content = yaml.safe_load(path.read_text())
        [model] = content["models"]
        used |= {word for column in model["columns"] for word in re.findall(r"\w+", str(column.get("config")))}
        model["columns"] = [column for column in model["columns"] if "config" not in column or column["name"] in used]
        columns[name] = {column["name"] for column in model["columns"]} - {"profile_id"}
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    traits = sum(len(columns[name]) for name in (*_CUT_TO, "profile_scores") if name != "profile_identity")
    count = len([*audiences.glob("*.sql"), *audiences.glob("accounts/*.sql")])
    if (traits, count) != (40, 20):
        raise SystemExit(f"The project is cut to {traits} traits and {count} audiences: mend cut() in {__file__}.")
    return root


def doubled(source: Path, folder: Path) -> Path:
    """A project with every trait of orders and of browsing declared twice, in a folder of its own."""
    root = copied(source, folder / "doubled")
    for name in ("order_traits", "browsing_traits"):
        path = root / f"models/profiles/traits/{name}.yml"
        content = yaml.safe_load(path.read_text())
        columns = content["models"][0]["columns"]
        for column in [column for column in columns if "config" in column]:
            copy = json.loads(json.dumps(column)) | {"name": column["name"] + "_2"}
            trait = copy["config"]["meta"]["trait"]
            if "of" in trait:
                of = trait["of"]
                trait["of"] = f"{of}_2" if isinstance(of, str) else [f"{one}_2" for one in of]
            columns.append(copy)
        path.write_text(yaml.safe_dump(content, sort_keys=False))
    return root


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=10_000_000)
    parser.add_argument("--people", type=int, default=1_350_000)
    parser.add_argument("--folder", type=Path, default=Path("data/bench_traits"))
    parser.add_argument("--as-shipped", action="store_true", help="all traits and audiences that there are")
    parser.add_argument("--keep", action="store_true", help="keep the warehouse")
    options = parser.parse_args()
    folder = options.folder.resolve()
    project = make_project(folder, "duckdb")
    if not options.as_shipped:
        bench.ROOT = cut(folder)
    build(project, command="seed")
    new = options.events // 100
    sizes = {"people": options.people, "all": options.events}
    with connect(project) as warehouse:
        step = max(options.events // 10, 10)
        for since in range(0, options.events - new, step):
            until = min(since + step, options.events - new)
            warehouse.execute(
                _MESSAGES.replace("$until -", f"{options.events} -"), {**sizes, "since": since, "until": until}
            )
    first, second = "2026-11-20 00:00:00", "2026-11-20 01:00:00"
    below = work(project, *BELOW, as_of=first)
    console.print(f"below: {below.seconds:.0f} s")
    with connect(project) as warehouse:
        counts = warehouse.query("select (select count(*) from events.events), (select count(distinct profile_id)"
                                 " from identity.identity_graph)")[0]  # fmt: skip
        scans = []
        for _ in range(2):
            before = processor(resource.RUSAGE_SELF)
            seconds = timed(warehouse.execute, _SCAN)
            scans.append(Work(seconds, processor(resource.RUSAGE_SELF) - before, {}))
        warehouse.execute("drop table cdi.bench_scan")
    full = work(project, *MEASURED, as_of=first)
    nothing = work(project, *MEASURED, as_of=first)
    start_up = work(project, "--select", "path:models/profiles/profiles.sql", as_of=first).processor
    with connect(project) as warehouse:
        warehouse.execute(
            _MESSAGES.replace("$until -", f"{options.events} -"),
            {**sizes, "since": options.events - new, "until": options.events},
        )
    work(project, *BELOW, as_of=second)
    incremental = work(project, *MEASURED, as_of=second)
    twofold = ["--full-refresh", "--select", "order_traits", "browsing_traits"]
    once = work(project, *twofold, as_of=second)
    bench.ROOT = doubled(bench.ROOT, folder)
    build(project, "--vars", json.dumps({"as_of": second}), command="parse")
    twice = work(project, *twofold, as_of=second)

    for one in (full, nothing, incremental, once, twice):
        one.processor -= start_up
    scan = min(scans, key=lambda one: one.seconds)
    table = Table(title=f"{counts[0]:,} events of {counts[1]:,} profiles")
    for column in ("", "seconds", "of processor", "beside", "ratio", "of processor", "wanted"):
        table.add_column(column, justify="left" if column in ("", "beside") else "right")

    def add(what: str, one: Work, beside: str = "", other: Work | None = None, wanted: str = "") -> None:
        ratios = (f"{one.seconds / other.seconds:.2f}", f"{one.processor / other.processor:.2f}") if other else ("", "")
        table.add_row(what, f"{one.seconds:.1f}", f"{one.processor:.1f}", beside, *ratios, wanted)

    add("one scan and group of the events by profile", scan)
    add("traits and audiences, full", full, "the scan", scan, "3")
    add(f"both with {new:,} new events (1%)", incremental, "the full run", full, "0.10")
    add("both with nothing new", nothing, "the full run", full)
    add("traits of orders and browsing, full", once)
    add("twice as many traits of them", twice, "once as many", once, "1.3")
    console.print(table)
    for title, one in (("full", full), ("incremental", incremental), ("nothing", nothing)):
        slowest = sorted(one.nodes.items(), key=lambda pair: -pair[1])[:12]
        console.print(f"{title}: " + ", ".join(f"{name} {seconds:.1f}" for name, seconds in slowest))
    if not options.keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    main()
