"""What a tool needs to forget people and for nothing else: it is asked for only when there is somebody to forget."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from cdi.errors import UsageError
from cdi.sync.tools.base import RefusedError

Found = TypeVar("Found")


def needed_to_forget(get: Callable[[], Found]) -> Found:
    """What `get` finds; where it is not set the deletion fails, stays open and says why, and the sync goes on."""
    try:
        return get()
    except UsageError as error:
        raise RefusedError(f"nobody can be forgotten: {error.message}", is_final=True) from None
