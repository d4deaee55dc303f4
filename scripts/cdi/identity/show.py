"""What the identity commands print."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table
from rich.tree import Tree

from cdi.identity.explain import LONGEST_CHAIN, Profile, Why
from cdi.identity.matching.match import Matching
from cdi.identity.picture import MOST_REFUSED, Branch, event_text, grow
from cdi.identity.plan import Plan, Regrouping
from cdi.identity.report import Report
from cdi.identity.tables import Refusal, evidence_text


def show_why(console: Console, answer: Why) -> None:
    """The chain of events, or what kept the two apart."""
    first, second = escape(answer.first.identifier), escape(answer.second.identifier)
    if answer.is_same_profile:
        console.print(f"[bold]{first}[/] and [bold]{second}[/] are one person, profile {answer.first.profile_id}.")
        if not answer.steps:
            console.print("They are the same identifier.")
            return
        console.print(f"{_many(len(answer.steps), 'link')} joined them:")
        console.print()
        console.print(f"  {first}", style="bold", highlight=False, soft_wrap=True)
        for step in answer.steps:
            console.print(
                f"  │ {escape(event_text(step.link))}  [dim]event {escape(step.link.event_id)}[/]",
                highlight=False,
                soft_wrap=True,
            )
            if step.link.evidence:
                console.print(f"  │ {escape(step.link.evidence)}", highlight=False, soft_wrap=True)
            console.print(f"  {escape(step.end)}", style="bold", highlight=False, soft_wrap=True)
        return
    console.print(f"[bold]{first}[/] and [bold]{second}[/] are two people:", highlight=False)
    console.print(f"  profile {answer.first.profile_id}\n  profile {answer.second.profile_id}", highlight=False)
    console.print()
    if answer.refused:
        console.print(f"{_many(len(answer.refused), 'link')} between them refused:")
        _show_refusals(console, answer.refused)
    elif answer.chain:
        console.print("No event links the two directly. Over other profiles, refused links would have:")
        _show_refusals(console, answer.chain)
    else:
        console.print(
            f"No event links them, and no chain of up to {LONGEST_CHAIN} refused links leads from one to the other."
        )


def show_profile(console: Console, profile: Profile) -> None:
    """The tree of a profile, and the refused links at its border."""
    console.print(
        f"Profile [bold]{profile.profile_id}[/]: {_many(len(profile.identifiers), 'identifier')},"
        f" {_many(len(profile.links), 'link')}.",
        highlight=False,
    )
    for root in grow(profile):
        tree = Tree(f"[bold]{escape(root.identifier)}[/]", guide_style="dim")
        waiting: list[tuple[Tree, Branch]] = [(tree, root)]
        while waiting:
            node, branch = waiting.pop()
            for child in branch.branches:
                event = f"  [dim]{escape(event_text(child.link))}[/]" if child.link else ""
                waiting.append((node.add(f"{escape(child.identifier)}{event}"), child))
            if branch.count_hidden:
                node.add(f"[dim]… and {branch.count_hidden:,} more[/]")
        console.print(tree, highlight=False)
    if profile.refused:
        console.print()
        console.print(f"{_many(profile.count_refused, 'refused link')} at its border:")
        _show_refusals(console, profile.refused[:MOST_REFUSED])
        if (more := profile.count_refused - MOST_REFUSED) > 0:
            console.print(f"  [dim]… and {more:,} more[/]")


def show_report(console: Console, answer: Report) -> None:
    """Counts, sizes, the largest profiles, weak links, suspects, merges and runs."""
    if not answer.identifiers:
        console.print("There is no identifier yet.")
        return
    console.print(
        f"{answer.identifiers:,} identifiers, {answer.profiles:,} profiles: {answer.known_profiles:,} known,"
        f" {answer.profiles - answer.known_profiles:,} anonymous. {answer.refused_links:,} links refused."
    )
    types = _table("type", ">identifiers")
    for name, number in answer.by_type.items():
        types.add_row(escape(name), f"{number:,}")
    sizes = _table("identifiers in a profile", ">profiles", "")
    most = max(answer.sizes.values())
    for name, number in answer.sizes.items():
        sizes.add_row(name, f"{number:,}", _bar(number, most))
    _section(console, "Identifiers by type", types)
    _section(console, "Sizes", sizes)
    largest = _table("profile", "first identifier", ">identifiers", "by type")
    for item in answer.largest:
        by_type = ", ".join(f"{number:,} {name}" for name, number in item.by_type.items())
        largest.add_row(item.profile_id, escape(item.first_identifier), f"{item.identifiers:,}", escape(by_type))
    _section(console, "Largest profiles", largest)
    if answer.bridges:
        table = _table("link", "event", ">splits into")
        for bridge in answer.bridges:
            table.add_row(
                escape(f"{bridge.link.identifier} — {bridge.link.hub}"),
                escape(f"{event_text(bridge.link)}, event {bridge.link.event_id}"),
                f"{bridge.larger_side:,} + {bridge.smaller_side:,}",
            )
        _section(console, "Links that large profiles hang on", table)
    if answer.suspects:
        table = _table("identifier", ">refused links", ">profiles", "line for seeds/blocked_identifiers.csv")
        for suspect in answer.suspects:
            table.add_row(
                escape(suspect.identifier),
                f"{suspect.refused_links:,}",
                f"{suspect.profiles:,}",
                escape(suspect.blocking_line),
            )
        _section(console, "Identifiers that links were refused for: shared, and perhaps to be blocked", table)
    if answer.merges:
        table = _table(answer.merges_per, ">merges", "")
        most = max(item.merges for item in answer.merges)
        for item in answer.merges:
            table.add_row(f"{item.start:%Y-%m-%d}", f"{item.merges:,}", _bar(item.merges, most))
        _section(console, "Profiles merged, by the time of the event that did", table)
    for title, rows in (("Last runs", answer.runs), ("Rounds of the last run", answer.rounds)):
        if rows:
            names = [name for name in rows[0] if name != "invocation_id"]
            table = _table(*(f">{name}" if isinstance(rows[0][name], int) else name for name in names))
            for row in rows:
                table.add_row(*(_cell(row[name]) for name in names))
            _section(console, title, table)


def show_plan(console: Console, answer: Plan) -> None:
    """Which rules differ, and what they would do to profiles and audiences."""
    if not answer.rules:
        console.print("The rules in seeds/ are those in force: nothing would change.")
        return
    rules = _table("rule", "identifier type", "in force", "as edited")
    for rule in answer.rules:
        changed = [
            name
            for name in {**rule.before, **rule.after}
            if rule.before.get(name) != rule.after.get(name) and name not in ("rule", "identifier_type")
        ]
        rules.add_row(
            escape(rule.rule),
            escape(rule.identifier_type or "all"),
            *(
                escape(", ".join(f"{name} {_value(side.get(name))}" for name in changed)) if side else "[dim]none[/]"
                for side in (rule.before, rule.after)
            ),
        )
    _section(console, "Rules that differ", rules)
    table = _table("", ">in force", ">as edited", ">appear", ">disappear")
    for count in (answer.identifiers, answer.profiles):
        numbers = (count.before, count.after, count.appear, count.disappear)
        table.add_row(count.name, *(f"{number:,}" for number in numbers))
    _section(console, "Identifiers and profiles", table)
    for examples, title in (
        (answer.identifiers.examples_appear, "Identifiers that appear"),
        (answer.identifiers.examples_disappear, "Identifiers that disappear"),
    ):
        if examples:
            console.print(escape(f"{title}, for instance: {', '.join(examples)}"), highlight=False)
    merged = f"{_many(answer.merges.parts, 'profile')} would be merged into {answer.merges.profiles:,}"
    split = f"{_many(answer.splits.profiles, 'profile')} would be split into {answer.splits.parts:,}"
    _show_regrouping(console, answer.merges, merged, "from")
    _show_regrouping(console, answer.splits, split, "into")
    audiences = _table("audience", ">in force", ">as edited", ">enter", ">leave", ">become one")
    for item in answer.audiences:
        audiences.add_row(
            item.name, *(f"{number:,}" for number in (item.before, item.after, item.enter, item.leave, item.joined))
        )
    _section(console, "Audiences", audiences)
    for item in answer.audiences:
        for verb, people in (("enter", item.examples_enter), ("leave", item.examples_leave)):
            if people:
                console.print(escape(f"{item.name}: {verb}, for instance: {', '.join(people)}"), highlight=False)
    console.print()
    console.print(
        f"Windows of both sides count back from {answer.as_of} UTC; audiences in force were built for it in scratch"
        " schemas, from the profiles in force. No table in use was touched.",
        style="dim",
        highlight=False,
    )
    if answer.unbuilt_events:
        console.print(
            f"[yellow]warning[/] {answer.unbuilt_events:,} events have landed and are not built yet: only the side as"
            " edited has them. To see what the rules alone do, run `cdi run --no-send` first."
        )
    if answer.kept:
        console.print(escape(f"Kept: {', '.join(answer.kept)}. The next plan drops them."), highlight=False)


BANDS = (0.99, 0.95, 0.9, 0.8, 0.5)
"""Of probability, each down to the next."""


def show_matching(console: Console, answer: Matching, top: int = 10) -> None:
    """How many pairs there are per band of probability, the likeliest with their evidence, and how to take them in."""
    console.print(
        f"{answer.profiles:,} profiles have an e-mail or a name; {answer.matcher} compared them.", highlight=False
    )
    for note in answer.notes:
        console.print(note, style="dim", highlight=False)
    if not answer.proposals:
        console.print("No pair looks like one person.")
        return
    bands = _table("probability", ">pairs", ">new")
    for lower, upper in zip(BANDS, (2.0, *BANDS), strict=False):
        inside = [item for item in answer.proposals if lower <= item.match_probability < upper]
        bands.add_row(f"from {lower:.2f}", f"{len(inside):,}", f"{sum(item.is_new for item in inside):,}")
    _section(console, "Pairs by probability", bands)
    for item in answer.proposals[:top]:
        console.print()
        console.print(
            f"[bold]{escape(item.identifier_a)}[/] — [bold]{escape(item.identifier_b)}[/]"
            f"  probability {item.match_probability:.4f}  [dim]proposal {item.proposal_id}[/]",
            highlight=False,
            soft_wrap=True,
        )
        console.print(f"  {escape(evidence_text(item.evidence))}", highlight=False, soft_wrap=True)
    console.print()
    if answer.is_dry_run:
        console.print(f"Dry run: nothing was written; {_many(answer.new, 'pair')} are new.", highlight=False)
        return
    console.print(
        f"{_many(answer.new, 'new pair')} written to {answer.table}. From vars: match_threshold in dbt_project.yml on"
        " they count as links, within the limits of identifiers; `cdi identity plan` shows what a threshold would do.",
        highlight=False,
    )


def masked(answer: Matching) -> Matching:
    """The same with identifiers that tell nobody who they are."""
    return replace(
        answer,
        proposals=[
            replace(
                item,
                identifier_a=mask_identifier(item.identifier_a),
                identifier_b=mask_identifier(item.identifier_b),
            )
            for item in answer.proposals
        ],
    )


def mask_identifier(identifier: str) -> str:
    """An identifier for the eye: `email:a***@d***.com`, `user_id:usr***`."""
    kind, _, value = identifier.partition(":")
    name, at, domain = value.rpartition("@")
    if not at:
        return f"{kind}:{value[:3] if len(value) > 6 else ''}***"
    host, _, top = domain.rpartition(".")
    return f"{kind}:{name[:1]}***@{host[:1]}***.{top}"


def _show_regrouping(console: Console, change: Regrouping, title: str, preposition: str) -> None:
    if not change.profiles:
        return
    table = _table("profile", "first identifier", f">{preposition}", ">identifiers")
    for item in change.examples:
        table.add_row(item.profile_id, escape(item.first_identifier), f"{item.parts:,}", f"{item.identifiers:,}")
    _section(console, f"{title}, for instance", table)


def _show_refusals(console: Console, refused: list[Refusal]) -> None:
    for item in refused:
        console.print(
            f"  [red]✕[/] [bold]{escape(item.identifier)}[/] — [bold]{escape(item.hub)}[/]"
            f"  {escape(event_text(item))}  [dim]event {escape(item.event_id)}[/]",
            highlight=False,
            soft_wrap=True,
        )
        if item.evidence:
            console.print(f"    {escape(item.evidence)}", highlight=False, soft_wrap=True)
        console.print(f"    {escape(item.reason or '')}", highlight=False, soft_wrap=True)


def _section(console: Console, title: str, table: Table) -> None:
    console.print()
    console.print(title, style="bold")
    console.print(table)


def _table(*columns: str) -> Table:
    """A table; a column whose name starts with `>` holds numbers."""
    table = Table(box=None, padding=(0, 2), header_style="dim")
    for name in columns:
        table.add_column(name.lstrip(">"), justify="right" if name.startswith(">") else "left", overflow="fold")
    return table


def _bar(number: int, most: int) -> str:
    return "█" * round(24 * number / most) if most else ""


def _many(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _value(value: Any) -> str:
    return "empty" if value in (None, "") else str(value)


def _cell(value: Any) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return escape("" if value is None else str(value))
