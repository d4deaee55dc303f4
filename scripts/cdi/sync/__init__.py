"""Activation: what changed in the activation models goes to the tools."""

from cdi.sync.declared import DeclaredSync, declared_syncs
from cdi.sync.deliver import SyncResult, sync

__all__ = ["DeclaredSync", "SyncResult", "declared_syncs", "sync"]
