"""Data Docs: GX's own pages of what was checked, with a style and a first page that need no network."""

from __future__ import annotations

import logging
import re
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, select_autoescape

from cdi.gates.results import GateResult
from cdi.project import Project

log = logging.getLogger(__name__)

FOLDER = Path("output") / "data_docs"


def write_data_docs(
    project: Project, run_id: str, results: list[GateResult], pages: list[tuple[str, str, Any]]
) -> Path:
    """Write a page per gate and table and a first page that leads to them; the path of the first."""
    from great_expectations.render.renderer import ValidationResultsPageRenderer
    from great_expectations.render.view import DefaultJinjaPageView

    folder = project.root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    renderer, view = ValidationResultsPageRenderer(), DefaultJinjaPageView()
    # GX's templates load style, scripts and logo from five hosts; ours of the same name come first.
    ours = PackageLoader("cdi.gates", "templates")
    view.env.loader = ChoiceLoader([ours, view.env.loader])
    links = {}
    for gate, table, result in pages:
        name = re.sub(r"[^\w.-]", "_", f"{gate}.{table}.html")
        (folder / name).write_text(view.render(renderer.render(result)), encoding="utf-8")
        links[gate, table] = name
    environment = Environment(loader=ours, autoescape=select_autoescape(default=True, default_for_string=True))
    index = environment.get_template("data_docs_index.html.j2").render(
        results=results,
        links=links,
        run_id=run_id,
        target=project.target,
        checked_at=datetime.now(UTC),
        failed=[outcome for result in results for outcome in result.stopped_by],
        warned=[outcome for result in results for outcome in result.warnings],
        count=sum(len(result.outcomes) for result in results),
    )
    page = folder / "index.html"
    page.write_text(index, encoding="utf-8")
    return page
