"""The tools that syncs deliver to, each one small module."""

from cdi.sync.tools.base import Batch, Delivery, Option, RefusedError, Tool
from cdi.sync.tools.file import FileTool
from cdi.sync.tools.webhook import WebhookTool

TOOLS: dict[str, type[Tool]] = {"webhook": WebhookTool, "file": FileTool}
"""Name in meta.sync.tool to the tool."""

__all__ = ["TOOLS", "Batch", "Delivery", "Option", "RefusedError", "Tool"]
