"""Landing: files become raw tables, and every line that cannot is kept with the reason."""

from cdi.landing.load import FileLanding, LandingResult, land
from cdi.landing.sources import RawTable, known_sources

__all__ = ["FileLanding", "LandingResult", "RawTable", "known_sources", "land"]
