"""Dynamics of the hidden state: letters, rotations, slow points, bridges to other packages."""

from handtraj.dynamics.bridges import (
    Demixed,
    DynamicalDistances,
    demix,
    dsa_distance,
    dsa_matrix,
)
from handtraj.dynamics.comparison import SameDynamics, same_dynamics
from handtraj.dynamics.decoding import Decoding, decode_letters
from handtraj.dynamics.letters import Letters, MeanLetters, cut_letters, mean_letters
from handtraj.dynamics.variances import (
    LetterArray,
    Marginals,
    dpca_array,
    marginal_test,
    marginal_variances,
)

__all__ = [
    "Decoding",
    "Demixed",
    "DynamicalDistances",
    "LetterArray",
    "Letters",
    "Marginals",
    "MeanLetters",
    "SameDynamics",
    "cut_letters",
    "decode_letters",
    "demix",
    "dpca_array",
    "dsa_distance",
    "dsa_matrix",
    "marginal_test",
    "marginal_variances",
    "mean_letters",
    "same_dynamics",
]
