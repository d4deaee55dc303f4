"""Audiences: which models are some, and the forms that marketers write them in."""

from __future__ import annotations

from typing import Any


def is_audience(node: Any) -> bool:
    """Whether a node of the manifest is an audience of people: a model that lies in models/audiences itself.

    In its folders are what audiences are made from, and audiences of accounts.
    """
    return node.resource_type == "model" and len(node.fqn) == 3 and node.fqn[1] == "audiences"
