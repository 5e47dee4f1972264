"""Figures of the book: one theme, one palette, one colour a concept.

Import it as ``from handtraj import charts``; ``import handtraj`` alone loads
no plotting package.
"""

from handtraj.charts.base import COLOURS, Chart, Picture, columns
from handtraj.charts.evidence import evidence, evidence_row, table
from handtraj.charts.model import density, learning_curve, learning_rate, window
from handtraj.charts.pen import ink, offsets, page, speed
from handtraj.charts.plots import histogram, lines, scatter, shares

__all__ = [
    "COLOURS",
    "Chart",
    "Picture",
    "columns",
    "density",
    "evidence",
    "evidence_row",
    "histogram",
    "ink",
    "learning_curve",
    "learning_rate",
    "lines",
    "offsets",
    "page",
    "scatter",
    "shares",
    "speed",
    "table",
    "window",
]
