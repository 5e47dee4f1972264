"""Subspaces of hidden states: bases, how they lie to each other, and what chance would give.

Covariances divide by the number of rows everywhere (not by one less), so that
sums over writings add and subtract without a remainder.
"""

from handtraj.subspaces.basis import Subspace
from handtraj.subspaces.measures import (
    alignment_index,
    captured_matrix,
    held_out_curve,
    participation_ratio,
    principal_angles,
)
from handtraj.subspaces.moments import Moments, moments_by, remove_means
from handtraj.subspaces.nulls import (
    MeanAgainstSpace,
    mean_against_space,
    permute_within,
    random_basis,
    random_subspaces,
    shuffled,
    split_half,
)

__all__ = [
    "MeanAgainstSpace",
    "Moments",
    "Subspace",
    "alignment_index",
    "captured_matrix",
    "held_out_curve",
    "mean_against_space",
    "moments_by",
    "participation_ratio",
    "permute_within",
    "principal_angles",
    "random_basis",
    "random_subspaces",
    "remove_means",
    "shuffled",
    "split_half",
]
