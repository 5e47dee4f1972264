"""Naming the style of a state, or of a writing, that the decoder has never seen."""

from handtraj.decoding.decode import METHODS, SCORES, Decoding, decode, within
from handtraj.decoding.splits import GroupedSplit, check_split

__all__ = [
    "METHODS",
    "SCORES",
    "Decoding",
    "GroupedSplit",
    "check_split",
    "decode",
    "within",
]
