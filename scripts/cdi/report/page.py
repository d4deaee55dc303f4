"""A page of a report: numbers at the top, then parts with a chart, a table, or both. One file that needs no network."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, select_autoescape
from markupsafe import Markup

from cdi.project import Project


@dataclass(frozen=True)
class Section:
    """A part of the page: a chart, a table, or both."""

    title: str
    text: str
    chart: Markup | None = None
    header: tuple[str, ...] = ()
    rows: tuple[tuple[Any, ...], ...] = ()


@dataclass(frozen=True)
class Tile:
    """A number at the top of the page."""

    value: str
    label: str
    state: str = ""


def write_page(project: Project, out: Path, title: str, tiles: Iterable[Tile], sections: Iterable[Section]) -> Path:
    """Write a page and return its path; a relative one is below the project."""
    page = out if out.is_absolute() else project.root / out
    loader = ChoiceLoader([PackageLoader("cdi.report", "templates"), PackageLoader("cdi.gates", "templates")])
    environment = Environment(loader=loader, autoescape=select_autoescape(default=True, default_for_string=True))
    html = environment.get_template("report.html.j2").render(
        title=title,
        target=project.target,
        written_at=datetime.now(UTC),
        tiles=list(tiles),
        sections=list(sections),
    )
    page.parent.mkdir(parents=True, exist_ok=True)
    page.write_text(html, encoding="utf-8")
    return page
