"""Charts as SVG that is part of a page: no script, no network, readable on light and dark paper."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import altair as alt
import vl_convert
from markupsafe import Markup

Rows = Iterable[Mapping[str, Any]]

WIDTH = 880
_PALETTE = [
    "#4c78d8",
    "#e08a2e",
    "#2ba58f",
    "#c4569b",
    "#8a6fd1",
    "#b8a02c",
    "#5fa8d3",
    "#d1605e",
    "#7a8794",
    "#6aa84f",
]
# Colours that stand for one of the page's, which know light from dark.
_INK, _QUIET, _LINE = "#010101", "#020202", "#030303"
STATES = {"met": "#3a9d6a", "warning": "#e0a32e", "stopped": "#d1493f"}

_CONFIG = {
    "background": "transparent",
    "font": "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif",
    "view": {"stroke": "transparent"},
    "axis": {
        "labelColor": _QUIET, "titleColor": _QUIET, "domainColor": _LINE, "tickColor": _LINE, "gridColor": _LINE,
        "labelFontSize": 12, "titleFontSize": 12, "titleFontWeight": "normal", "labelLimit": 240,
    },
    "legend": {"labelColor": _INK, "titleColor": _QUIET, "labelFontSize": 12, "titleFontSize": 12, "orient": "top"},
    "header": {"labelColor": _INK, "titleColor": _QUIET, "labelFontSize": 13},
    "title": {"color": _INK, "fontSize": 13, "anchor": "start", "fontWeight": 600},
    "text": {"color": _INK},
    "range": {"category": _PALETTE},
}  # fmt: skip


def events_by_day(rows: Rows) -> Markup:
    """A line per source, each on its own scale: sources differ by a thousand times."""
    data = alt.Data(values=list(rows))
    sources = sorted({row["source"] for row in data.values})
    x = alt.X("day:T", title=None, axis=alt.Axis(format="%d %b", grid=False, labelOverlap=True, labelSeparation=14))
    charts = []
    for number, source in enumerate(sources):
        base = alt.Chart(data, width=WIDTH, height=92, title=source).transform_filter(alt.datum.source == source)
        colour = _PALETTE[number % len(_PALETTE)]
        y = alt.Y(
            "events:Q", title=None, axis=alt.Axis(tickCount=3, format="~s"), scale=alt.Scale(zero=True, nice=True)
        )
        charts.append(base.mark_area(color=colour, opacity=0.18, line={"color": colour, "strokeWidth": 2}).encode(x, y))
    return _svg(alt.vconcat(*charts, spacing=14).resolve_scale(x="shared"), f"Events per day of {', '.join(sources)}")


def states_by_day(rows: Rows) -> Markup:
    """A square per gate and day: the worst that any run of that day found."""
    values = list(rows)
    order = list(dict.fromkeys(row["gate"] for row in values))
    chart = (
        alt.Chart(alt.Data(values=values), width=WIDTH, height=30 * len(order))
        .mark_rect(cornerRadius=4, stroke=_LINE, strokeOpacity=0)
        .encode(
            x=alt.X(
                "day:O", title=None, timeUnit="utcyearmonthdate",
                axis=alt.Axis(
                    format="%d %b", labelAngle=0, labelOverlap="greedy", labelSeparation=14, ticks=False, domain=False
                ),
                scale=alt.Scale(paddingInner=0.15),
            ),
            y=alt.Y(
                "gate:N", title=None, sort=order, axis=alt.Axis(ticks=False, domain=False),
                scale=alt.Scale(paddingInner=0.15),
            ),
            color=alt.Color(
                "state:N", title=None,
                scale=alt.Scale(domain=list(STATES), range=list(STATES.values())), sort=list(STATES),
            ),
        )
    )  # fmt: skip
    return _svg(chart, "The worst result of each gate by day")


def stacked_by_day(rows: Rows, kind: str) -> Markup:
    """Bars per day, stacked by what `kind` names."""
    chart = (
        alt.Chart(alt.Data(values=list(rows)), width=WIDTH, height=190)
        .mark_bar()
        .encode(
            x=alt.X(
                "day:O", title=None, timeUnit="utcyearmonthdate",
                axis=alt.Axis(format="%d %b", labelAngle=0, labelOverlap="greedy", labelSeparation=14),
            ),
            y=alt.Y("count:Q", title=None, axis=alt.Axis(tickCount=4, format="~s")),
            color=alt.Color("kind:N", title=kind),
        )
    )  # fmt: skip
    return _svg(chart, f"Count per day by {kind}")


def bars(rows: Rows, kind: str) -> Markup:
    """A bar per name, longest first, coloured by what `kind` names."""
    values = list(rows)
    names = len({row["name"] for row in values})
    chart = (
        alt.Chart(alt.Data(values=values), width=WIDTH - 120, height=26 * names)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X("count:Q", title=None, axis=alt.Axis(tickCount=5, format="~s")),
            y=alt.Y("name:N", title=None, sort="-x", axis=alt.Axis(ticks=False, domain=False)),
            color=alt.Color("kind:N", title=kind),
        )
    )
    return _svg(chart, f"Count by {kind}")


def lift_and_calibration(rows: Rows) -> Markup:
    """Of each tenth of people, the highest scores first: what was said and what came. Beside it the one by the other.

    rows: tenth (1 to 10), said, came; probabilities.
    """
    data = alt.Data(values=list(rows))
    percent = alt.Axis(format="%", tickCount=5)
    tenths = alt.Chart(data, width=WIDTH // 2 - 70, height=200, title="By tenth of people, the highest scores first")
    bars = tenths.mark_bar(color=_PALETTE[0], cornerRadiusEnd=3).encode(
        x=alt.X("tenth:O", title=None, axis=alt.Axis(labelAngle=0, ticks=False)),
        y=alt.Y("came:Q", title="came true", axis=percent),
    )
    mean = tenths.mark_rule(color=_INK, strokeDash=[4, 4]).encode(y="mean(came):Q")
    most = max((max(row["said"], row["came"]) for row in data.values), default=1.0)
    scale = alt.Scale(domain=[0, most], nice=True)
    plane = alt.Chart(data, width=WIDTH // 2 - 70, height=200, title="Said and came true")
    points = plane.mark_line(point=True, color=_PALETTE[1]).encode(
        x=alt.X("said:Q", title="said", axis=percent, scale=scale),
        y=alt.Y("came:Q", title="came true", axis=percent, scale=scale),
    )
    diagonal = (
        alt.Chart(alt.Data(values=[{"at": 0}, {"at": most}])).mark_line(color=_QUIET, strokeDash=[4, 4])
        .encode(x="at:Q", y="at:Q")
    )  # fmt: skip
    return _svg(alt.hconcat(bars + mean, points + diagonal, spacing=40), "Lift and calibration by tenth of people")


def money_by_tenth(rows: Rows) -> Markup:
    """Of each tenth of people, the highest expectation first: what was expected and what was spent, a head."""
    values = [
        {"tenth": row["tenth"], "kind": kind, "money": row[key]}
        for row in rows
        for kind, key in (("expected", "said"), ("spent", "came"))
    ]
    chart = (
        alt.Chart(alt.Data(values=values), width=WIDTH - 60, height=200)
        .mark_bar(cornerRadiusEnd=3)
        .encode(
            x=alt.X("tenth:O", title=None, axis=alt.Axis(labelAngle=0, ticks=False)),
            xOffset=alt.XOffset("kind:N"),
            y=alt.Y("money:Q", title="euro a head", axis=alt.Axis(tickCount=5, format="~s")),
            color=alt.Color("kind:N", title=None),
        )
    )
    return _svg(chart, "Expected and spent by tenth of people")


def shares(rows: Rows, label: str, limits: Iterable[float] = (), form: str = "%") -> Markup:
    """A bar per name in the order given, as long as its `value`, with a line at each limit."""
    values = list(rows)
    base = alt.Chart(alt.Data(values=values), width=WIDTH - 260, height=24 * len(values))
    chart = base.mark_bar(cornerRadiusEnd=3, color=_PALETTE[2]).encode(
        x=alt.X("value:Q", title=None, axis=alt.Axis(tickCount=5, format=form)),
        y=alt.Y("name:N", title=None, sort=None, axis=alt.Axis(ticks=False, domain=False)),
    )
    for limit in limits:
        rule = alt.Chart(alt.Data(values=[{"limit": limit}])).mark_rule(color=STATES["warning"], strokeDash=[4, 4])
        chart = chart + rule.encode(x="limit:Q")
    return _svg(chart, label)


def _svg(chart: Any, label: str) -> Markup:
    svg = vl_convert.vegalite_to_svg({**chart.to_dict(), "config": _CONFIG})
    for stand_in, name in ((_INK, "ink"), (_QUIET, "quiet"), (_LINE, "line")):
        svg = svg.replace(f'"{stand_in}"', f'"var(--{name})"')
    return Markup(svg.replace("<svg ", f'<svg role="img" aria-label="{Markup.escape(label)}" ', 1))
