"""The tools that syncs deliver to, each one small module."""

from collections.abc import Mapping
from pathlib import Path

from cdi.errors import UsageError
from cdi.sync.tools.amplitude import AmplitudeCohorts, AmplitudeEvents, AmplitudeUsers
from cdi.sync.tools.base import (
    MODES,
    SYNC_KEYS,
    Batch,
    Delivery,
    Failure,
    NotSetUpError,
    Option,
    Outcome,
    RefusedError,
    Tool,
)
from cdi.sync.tools.braze import BrazeEvents, BrazeUsers
from cdi.sync.tools.declared_http import http_tools
from cdi.sync.tools.file import Files
from cdi.sync.tools.ga4 import Ga4Events, Ga4Users
from cdi.sync.tools.google_ads import GoogleAdsAudience
from cdi.sync.tools.hubspot import HubSpotContacts, HubSpotLists
from cdi.sync.tools.intercom import IntercomContacts, IntercomEvents, IntercomTags
from cdi.sync.tools.mailchimp import MailchimpMembers, MailchimpSegments, MailchimpTags
from cdi.sync.tools.meta import MetaAudience
from cdi.sync.tools.mixpanel import MixpanelEvents, MixpanelGroups, MixpanelProfiles
from cdi.sync.tools.optimizely import OdpEvents, OdpLists, OdpProfiles
from cdi.sync.tools.postgres import Tables
from cdi.sync.tools.slack import SlackSummary
from cdi.sync.tools.webhook import Webhook

TOOLS: dict[str, dict[str, type[Tool]]] = {
    "amplitude": {"user": AmplitudeUsers, "event": AmplitudeEvents, "cohort": AmplitudeCohorts},
    "braze": {"user": BrazeUsers, "event": BrazeEvents},
    "file": {"row": Files},
    "ga4": {"user": Ga4Users, "event": Ga4Events},
    "google_ads": {"audience": GoogleAdsAudience},
    "hubspot": {"contact": HubSpotContacts, "list": HubSpotLists},
    "intercom": {"contact": IntercomContacts, "tag": IntercomTags, "event": IntercomEvents},
    "mailchimp": {"member": MailchimpMembers, "tag": MailchimpTags, "segment": MailchimpSegments},
    "meta": {"audience": MetaAudience},
    "mixpanel": {"profile": MixpanelProfiles, "event": MixpanelEvents, "group": MixpanelGroups},
    "optimizely": {"profile": OdpProfiles, "event": OdpEvents, "list": OdpLists},
    "postgres": {"row": Tables},
    "slack": {"summary": SlackSummary},
    "webhook": {"row": Webhook},
}
"""Name in meta.sync.tool to what may stand in meta.sync.object, the usual one first, and who delivers it."""


def tools_of(root: Path) -> Mapping[str, Mapping[str, type[Tool]]]:
    """TOOLS, and those that a project declares in YAML; raises UsageError where one of these cannot be."""
    declared = http_tools(root)
    if taken := sorted(declared.keys() & TOOLS.keys()):
        raise UsageError(
            f"dbt_project.yml, vars.http_tools: there is a tool '{taken[0]}' already.", "Name it otherwise."
        )
    return TOOLS | {name: {"row": tool} for name, tool in declared.items()}


__all__ = [
    "MODES",
    "SYNC_KEYS",
    "TOOLS",
    "Batch",
    "Delivery",
    "Failure",
    "NotSetUpError",
    "Option",
    "Outcome",
    "RefusedError",
    "Tool",
    "tools_of",
]
