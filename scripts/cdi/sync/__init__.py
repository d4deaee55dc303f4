"""Activation: what changed in the activation models goes to the tools."""

from cdi.sync.declared import DeclaredSync, declared_syncs
from cdi.sync.deliver import Asked, SyncResult, sync

__all__ = ["Asked", "DeclaredSync", "SyncResult", "declared_syncs", "sync"]
