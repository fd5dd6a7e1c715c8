"""Landing zones: files on a local disk or any file system that fsspec knows."""

from nw_platform.sources.landing.source import LandingSource

__all__ = ["LandingSource"]
