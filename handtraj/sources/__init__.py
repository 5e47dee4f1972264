"""Readers of pen data, one module a source; each yields :class:`Line`."""

from handtraj.sources.line import Line

__all__ = ["Line"]
