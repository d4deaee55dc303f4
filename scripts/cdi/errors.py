"""Errors for the person who must act."""

from __future__ import annotations

import os
import re


class CdiError(Exception):
    """What went wrong and what to do about it, in words for the user.

    The command line prints `message` and `hint` without a traceback and exits with `exit_code`.
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".strip()


class UsageError(CdiError):
    """The command was asked for something that does not exist or cannot be: fix the command and run it again."""

    exit_code = 2


class GateError(CdiError):
    """A check failed and stopped the run before anything later was touched."""

    exit_code = 3


class WarehouseError(CdiError):
    """The warehouse is missing, taken or refuses us; running again later may work."""

    exit_code = 4


class DeliveryError(CdiError):
    """Some rows could not be delivered to a tool; the next run tries them again."""

    exit_code = 5


_SECRET_NAME = re.compile(r"PASSWORD|SECRET|TOKEN|API_?KEY|PRIVATE_KEY|PRIVACY_KEY|CREDENTIAL", re.IGNORECASE)


def mask_secrets(text: str) -> str:
    """Replace the value of every environment variable that is named like a secret with `***`."""
    for name, value in os.environ.items():
        if len(value) >= 4 and _SECRET_NAME.search(name):
            text = text.replace(value, "***")
    return text
