"""Measures of written ink that know nothing of the network that wrote it."""

from handtraj.evaluation.features import (
    FEATURES,
    STYLE_FEATURES,
    describe,
    ink_features,
    style_features,
)

__all__ = ["FEATURES", "STYLE_FEATURES", "describe", "ink_features", "style_features"]
