"""Tools to try syncs on: one real HTTP server that behaves like each of them."""

from cdi.simulator.base import Faults, SimulatedTool
from cdi.simulator.server import Simulator

__all__ = ["Faults", "SimulatedTool", "Simulator"]
