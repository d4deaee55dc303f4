"""The tools that syncs deliver to, each one small module."""

from cdi.sync.tools.base import MODES, Batch, Delivery, Failure, Option, Outcome, RefusedError, Tool
from cdi.sync.tools.braze import BrazeEvents, BrazeUsers
from cdi.sync.tools.file import Files
from cdi.sync.tools.webhook import Webhook

TOOLS: dict[str, dict[str, type[Tool]]] = {
    "braze": {"user": BrazeUsers, "event": BrazeEvents},
    "file": {"row": Files},
    "webhook": {"row": Webhook},
}
"""Name in meta.sync.tool to what may stand in meta.sync.object, the usual one first, and who delivers it."""

__all__ = ["MODES", "TOOLS", "Batch", "Delivery", "Failure", "Option", "Outcome", "RefusedError", "Tool"]
