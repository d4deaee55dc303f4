"""Access to Google's APIs: a token from the environment, or those of a service account, renewed before they end."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator
from typing import Any

import google.auth
import httpx
from google.auth.credentials import Credentials
from google.auth.exceptions import DefaultCredentialsError, GoogleAuthError
from google.auth.transport.requests import Request
from google.oauth2.credentials import Credentials as Token

from cdi.errors import UsageError
from cdi.sync.tools.base import NotSetUpError, Option, RefusedError

CREDENTIALS_OPTION = {"credentials_env": Option(default="GOOGLE_APPLICATION_CREDENTIALS")}
"""The variable with the path of a service account's key, or of what `gcloud auth application-default login` wrote."""


class GoogleLogin(httpx.Auth):
    """Gives every request an access token that is still valid."""

    def __init__(self, credentials: Credentials) -> None:
        self.credentials = credentials
        self._mutex = threading.Lock()

    def token(self) -> str:
        """An access token; raises RefusedError where Google gives none."""
        with self._mutex:
            if not self.credentials.valid:
                try:
                    self.credentials.refresh(Request())
                except GoogleAuthError as error:
                    # Its words may hold the account's address.
                    message = f"Google gives no access token ({type(error).__name__})"
                    raise RefusedError(message, is_final=not error.retryable) from None
            return str(self.credentials.token)

    def auth_flow(self, request: httpx.Request) -> Iterator[httpx.Request]:
        request.headers["authorization"] = f"Bearer {self.token()}"
        yield request


def google_login(given: dict[str, Any], scope: str) -> GoogleLogin:
    """The login that a tool's options token_env or credentials_env name.

    Raises NotSetUpError where neither variable is set, UsageError where the file is none of Google's.
    """
    token, path = (os.environ.get(given[name]) for name in ("token_env", "credentials_env"))
    if token:
        return GoogleLogin(Token(token))
    if not path:
        raise NotSetUpError(
            f"credentials_env: the environment variable {given['credentials_env']} is not set, nor is"
            f" {given['token_env']}.",
            "Set the first to the path of a service account's key, or the second to an access token.",
        )
    try:
        credentials, _ = google.auth.load_credentials_from_file(path, scopes=[scope])
    except (DefaultCredentialsError, OSError, ValueError):
        raise UsageError(
            f"credentials_env: the file that {given['credentials_env']} names cannot be read as Google's credentials."
        ) from None
    return GoogleLogin(credentials)
