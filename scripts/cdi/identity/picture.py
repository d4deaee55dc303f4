"""A profile as a picture: its links as a tree in SVG, with the refused links at its border."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from xml.sax.saxutils import escape

import networkx as nx

from cdi.identity.explain import Profile
from cdi.identity.tables import Link, Refusal

MOST_BRANCHES = 30
"""Branches of one identifier that are drawn; the others are counted."""
MOST_DEPTH = 14
MOST_REFUSED = 20

COLOURS = ("#2f6fb3", "#3a8f5c", "#b3702f", "#7d5ba6", "#a8455f", "#2d8c8c", "#8a7a2b", "#5c6470")
INK, FAINT, REFUSED = "#22262b", "#8b939c", "#c0392b"
MARGIN, TOP, ROW, BOX_HEIGHT, CURVE = 30, 116, 44, 26, 40
# The widest that a letter is, on average, in the fonts below.
LETTER, SMALL_LETTER = 7.4, 6.4
FONT = "font-family='ui-sans-serif, system-ui, Helvetica, Arial, sans-serif'"


@dataclass
class Branch:
    """An identifier of the tree, the link that it hangs on, and what hangs on it."""

    identifier: str
    link: Link | None = None
    branches: list[Branch] = field(default_factory=list)
    count_hidden: int = 0
    """Identifiers behind this one that are not shown."""

    def walk(self) -> Iterator[Branch]:
        """This branch and all behind it."""
        waiting = [self]
        while waiting:
            branch = waiting.pop()
            yield branch
            waiting += reversed(branch.branches)


def grow(profile: Profile, most_branches: int = MOST_BRANCHES, most_depth: int = MOST_DEPTH) -> list[Branch]:
    """The profile's spanning forest as branches from its first identifier: one root, unless a link is missing."""
    tree = profile.forest
    roots = []
    seen: set[str] = set()
    for item in profile.identifiers:
        if item.identifier not in seen:
            seen |= nx.node_connected_component(tree, item.identifier)
            roots.append(_grow(tree, item.identifier, most_branches, most_depth))
    return roots


def _grow(tree: nx.Graph, root: str, most_branches: int, most_depth: int) -> Branch:
    children = nx.DiGraph(nx.bfs_tree(tree, root))
    behind = dict.fromkeys(children, 1)
    parents = {child: parent for parent, child in children.edges}
    for child in reversed(list(parents)):
        behind[parents[child]] += behind[child]
    top = Branch(root)
    waiting = [(top, 1)]
    while waiting:
        branch, depth = waiting.pop()
        following = sorted(children[branch.identifier], key=lambda child: tree.edges[branch.identifier, child]["rank"])
        shown = following[:most_branches] if depth < most_depth else []
        branch.branches = [Branch(child, tree.edges[branch.identifier, child]["link"]) for child in shown]
        branch.count_hidden = sum(behind[child] for child in following[len(shown) :])
        waiting += [(child, depth + 1) for child in branch.branches]
    return top


def event_text(event: Link | Refusal, length: int = 200) -> str:
    """What a link's event was, in so many letters, where it came from and when."""
    when = f"{event.event_at:%Y-%m-%d %H:%M}" if event.event_at else ""
    source = f"({event.source})" if event.source else ""
    return " ".join(part for part in (short(event.event, length), source, when) if part)


def short(text: str, length: int = 44) -> str:
    """The text, its middle left out where it is too long."""
    return text if len(text) <= length else f"{text[: length - 13]}…{text[-12:]}"


@dataclass(frozen=True)
class Drawing:
    """A profile's tree with a place for each identifier: a column for each step from the first, a row for each leaf."""

    profile: Profile
    roots: list[Branch]
    left: dict[str, float]
    middle: dict[str, float]
    label_left: dict[str, float]
    """Where the level part of the line to an identifier begins, which carries its event."""
    width: float
    bottom: float
    colours: dict[str, str]

    @classmethod
    def of(cls, profile: Profile) -> Drawing:
        """Find the places."""
        roots = grow(profile)
        depths: dict[str, int] = {}
        middle: dict[str, float] = {}
        boxes: list[float] = []
        labels: list[float] = []
        free = float(TOP)
        for root in roots:
            depths[root.identifier] = 0
            order = list(root.walk())
            for branch in order:
                depth = depths[branch.identifier]
                if depth == len(boxes):
                    boxes.append(0)
                    labels.append(0)
                boxes[depth] = max(boxes[depth], _box_width(branch.identifier))
                labels[depth] = max(labels[depth], SMALL_LETTER * len(_label(branch.link)))
                depths.update((child.identifier, depth + 1) for child in branch.branches)
                if not branch.branches:
                    middle[branch.identifier] = free
                    free += ROW
            for branch in reversed(order):
                if branch.branches:
                    rows = [middle[child.identifier] for child in branch.branches]
                    middle[branch.identifier] = (rows[0] + rows[-1]) / 2
        columns = [float(MARGIN)]
        for depth in range(1, len(boxes)):
            columns.append(columns[-1] + boxes[depth - 1] + CURVE + labels[depth] + 10)
        types = dict.fromkeys(item.type for item in profile.identifiers)
        return cls(
            profile=profile,
            roots=roots,
            left={identifier: columns[depth] for identifier, depth in depths.items()},
            middle=middle,
            label_left={identifier: columns[depth] - labels[depth] - 10 for identifier, depth in depths.items()},
            width=columns[-1] + boxes[-1] + MARGIN,
            bottom=free,
            colours={type_: COLOURS[number % len(COLOURS)] for number, type_ in enumerate(types)},
        )

    def right(self, identifier: str) -> float:
        """The right end of an identifier's box."""
        return self.left[identifier] + _box_width(identifier)


def as_svg(profile: Profile) -> str:
    """An SVG document: the first identifier at the left, an event on every line, refused links in red below."""
    drawing = Drawing.of(profile)
    branches = [branch for root in drawing.roots for branch in root.walk()]
    lines = [_line(drawing, branch, child) for branch in branches for child in branch.branches]
    drawn = {frozenset((branch.identifier, child.identifier)) for branch in branches for child in branch.branches}
    for link in profile.links:
        ends = frozenset((link.identifier, link.hub))
        if ends not in drawn and ends <= drawing.left.keys():
            lines.append(_also_linked(drawing, link))
    boxes = [_box(drawing, branch) for branch in branches]
    width, bottom = max(drawing.width, 760.0), drawing.bottom
    if profile.refused:
        title = f"{profile.count_refused:,} refused link{'' if profile.count_refused == 1 else 's'} at its border"
        boxes.append(_text(MARGIN, bottom + 10, title, REFUSED, 14, "bold"))
        for refusal in profile.refused[:MOST_REFUSED]:
            bottom += 44
            boxes.append(_refusal(bottom, refusal, profile))
            width = max(width, 2 * MARGIN + SMALL_LETTER * len(refusal.reason or ""))
        bottom += 40
    return "\n".join(
        [
            f"<svg xmlns='http://www.w3.org/2000/svg' width='{width:.0f}' height='{bottom:.0f}'"
            f" viewBox='0 0 {width:.0f} {bottom:.0f}' {FONT}>",
            f"<title>Profile {escape(profile.profile_id)}</title>",
            "<rect width='100%' height='100%' fill='#ffffff'/>",
            _text(MARGIN, 32, f"Profile {profile.profile_id}", INK, 16, "bold"),
            *_legend(drawing),
            *lines,
            *boxes,
            "</svg>\n",
        ]
    )


def _legend(drawing: Drawing) -> Iterator[str]:
    profile = drawing.profile
    yield _text(MARGIN, 52, f"{len(profile.identifiers):,} identifiers, {len(profile.links):,} links", FAINT, 12)
    left = float(MARGIN)
    for type_, colour in drawing.colours.items():
        yield f"<circle cx='{left + 6:.0f}' cy='74' r='6' fill='{colour}'/>"
        yield _text(left + 18, 78, type_, INK, 12)
        left += 40 + LETTER * len(type_)


def _label(link: Link | None) -> str:
    return event_text(link, 30) if link else ""


def _box_width(identifier: str) -> float:
    return 26 + LETTER * len(short(identifier, 36))


def _box(drawing: Drawing, branch: Branch) -> str:
    identifier = branch.identifier
    colour = drawing.colours.get(identifier.partition(":")[0], FAINT)
    left, middle = drawing.left[identifier], drawing.middle[identifier]
    half = BOX_HEIGHT / 2
    hidden = ""
    if branch.count_hidden:
        hidden = _text(left + 13, middle + half + 14, f"… and {branch.count_hidden:,} more behind it", FAINT, 10.5)
    return (
        f"<g><title>{escape(identifier)}</title>"
        f"<rect x='{left:.0f}' y='{middle - half:.0f}' width='{_box_width(identifier):.0f}' height='{BOX_HEIGHT}'"
        f" rx='{half:.0f}' fill='#ffffff'/>"
        f"<rect x='{left:.0f}' y='{middle - half:.0f}' width='{_box_width(identifier):.0f}' height='{BOX_HEIGHT}'"
        f" rx='{half:.0f}' fill='{colour}' fill-opacity='0.12' stroke='{colour}'/>"
        f"{_text(left + 13, middle + 4, short(identifier, 36), INK, 12)}{hidden}</g>"
    )


def _line(drawing: Drawing, branch: Branch, child: Branch) -> str:
    """A curve from an identifier that runs level under the event of the link."""
    start, end = drawing.right(branch.identifier), drawing.left[child.identifier]
    above, below = drawing.middle[branch.identifier], drawing.middle[child.identifier]
    level = drawing.label_left[child.identifier]
    turn = (start + level) / 2
    hover = f"<title>event {escape(child.link.event_id)}</title>" if child.link else ""
    return (
        f"<g>{hover}<path d='M{start:.0f},{above:.0f} C{turn:.0f},{above:.0f} {turn:.0f},{below:.0f}"
        f" {level:.0f},{below:.0f} L{end:.0f},{below:.0f}' fill='none' stroke='{FAINT}' stroke-width='1.3'/>"
        f"{_text(level + 2, below - 5, _label(child.link), FAINT, 10.5)}</g>"
    )


def _also_linked(drawing: Drawing, link: Link) -> str:
    """A dotted line between identifiers that were one profile already when this link came."""
    one, other = sorted((link.identifier, link.hub), key=lambda end: drawing.left[end])
    start, end = drawing.right(one), drawing.left[other]
    turn = (start + end) / 2
    if drawing.left[one] == drawing.left[other]:
        start, turn = end, end - 40
    above, below = drawing.middle[one], drawing.middle[other]
    return (
        f"<g><title>{escape(f'linked as well: {event_text(link)}, event {link.event_id}')}</title>"
        f"<path d='M{start:.0f},{above:.0f} C{turn:.0f},{above:.0f} {turn:.0f},{below:.0f} {end:.0f},{below:.0f}'"
        f" fill='none' stroke='{FAINT}' stroke-dasharray='2 4'/></g>"
    )


def _refusal(top: float, refusal: Refusal, profile: Profile) -> str:
    inside, outside = refusal.identifier, refusal.hub
    if refusal.profile_id != profile.profile_id:
        inside, outside = outside, inside
    ends = f"{short(inside, 36)}  ✕  {short(outside, 36)}"
    return (
        f"<g><title>{escape(f'{inside} and {outside}: event {refusal.event_id}')}</title>"
        f"<path d='M{MARGIN},{top - 13:.0f} v30' stroke='{REFUSED}' stroke-width='2'/>"
        f"{_text(MARGIN + 10, top - 2, f'{ends}   {event_text(refusal)}', INK, 12)}"
        f"{_text(MARGIN + 10, top + 13, refusal.reason or '', REFUSED, 11)}</g>"
    )


def _text(left: float, base: float, text: str, colour: str, size: float, weight: str = "normal") -> str:
    return (
        f"<text x='{left:.0f}' y='{base:.0f}' font-size='{size}' font-weight='{weight}' fill='{colour}'"
        f" xml:space='preserve'>{escape(text)}</text>"
    )
