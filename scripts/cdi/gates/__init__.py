"""Gates: what must hold on a floor before the next one is built, as Great Expectations suites in tests/expectations."""

from enum import StrEnum

from cdi.gates.results import GateResult, Outcome
from cdi.gates.suites import GATES

__all__ = ["GATES", "GateResult", "OnFailure", "Outcome"]


class OnFailure(StrEnum):
    """What a run does when a gate fails."""

    STOP = "stop"
    WARN = "warn"
    IGNORE = "ignore"
