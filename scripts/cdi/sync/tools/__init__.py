"""The tools that syncs deliver to, each one small module."""

from cdi.sync.tools.base import MODES, Batch, Delivery, Failure, Option, Outcome, RefusedError, Tool
from cdi.sync.tools.braze import BrazeEvents, BrazeUsers
from cdi.sync.tools.file import Files
from cdi.sync.tools.hubspot import HubSpotContacts, HubSpotLists
from cdi.sync.tools.intercom import IntercomContacts, IntercomEvents, IntercomTags
from cdi.sync.tools.mailchimp import MailchimpMembers, MailchimpSegments, MailchimpTags
from cdi.sync.tools.slack import SlackSummary
from cdi.sync.tools.webhook import Webhook

TOOLS: dict[str, dict[str, type[Tool]]] = {
    "braze": {"user": BrazeUsers, "event": BrazeEvents},
    "file": {"row": Files},
    "hubspot": {"contact": HubSpotContacts, "list": HubSpotLists},
    "intercom": {"contact": IntercomContacts, "tag": IntercomTags, "event": IntercomEvents},
    "mailchimp": {"member": MailchimpMembers, "tag": MailchimpTags, "segment": MailchimpSegments},
    "slack": {"summary": SlackSummary},
    "webhook": {"row": Webhook},
}
"""Name in meta.sync.tool to what may stand in meta.sync.object, the usual one first, and who delivers it."""

__all__ = ["MODES", "TOOLS", "Batch", "Delivery", "Failure", "Option", "Outcome", "RefusedError", "Tool"]
