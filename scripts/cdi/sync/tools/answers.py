"""What several tools say in JSON: whole objects, and what a list or a segment is before rows go there."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import httpx

from cdi.sync.tools.base import RefusedError
from cdi.sync.tools.http import BadRowsError, Endpoint, HttpTool, Request


def json_object(response: httpx.Response, *names: str) -> dict[str, Any]:
    """The object of a good answer, which has these names.

    Raises RefusedError where the answer was cut off or is from somebody else: nobody knows what was taken.
    """
    try:
        answer = response.json()
    except ValueError:
        answer = None
    if not isinstance(answer, dict) or not answer.keys() >= set(names):
        raise RefusedError("the answer is not the tool's own", in_doubt=True)
    return answer


def looked_up(tool: HttpTool, endpoint: Endpoint, request: Request, *names: str) -> dict[str, Any]:
    """What the tool says of the place that all rows go to; where it refuses no row is the reason, and none can go."""
    try:
        return json_object(tool.call(endpoint, request), *names)
    except BadRowsError as error:
        raise RefusedError(error.message, is_final=True) from None


@contextmanager
def after_taking() -> Iterator[None]:
    """What is refused inside comes too late for the tool not to hold the rows: it is in doubt."""
    try:
        yield
    except RefusedError as error:
        raise RefusedError(error.message, in_doubt=True, is_final=error.is_final) from None
