"""Measures of written ink that know nothing of the network that wrote it."""

from handtraj.evaluation.features import FEATURES, describe, ink_features

__all__ = ["FEATURES", "describe", "ink_features"]
