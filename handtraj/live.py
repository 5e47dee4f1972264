"""A network small enough to train while a chapter is read, and what it learns from.

Four things make the task small without making it another one: nine letters
without dots and bars, words instead of lines, synthetic hands that differ in
five parameters only, and a density that may not get arbitrarily narrow.  The
network, the window, the loss and the loop are those of the full size.
"""

from __future__ import annotations

from dataclasses import asdict

import numpy as np

from handtraj.augmentation import AugmentationConfig
from handtraj.batches import SamplingConfig
from handtraj.corpus import Corpus, build_corpus
from handtraj.network import NetworkConfig
from handtraj.sources.scribe import ScribeStyle, normalise_hand, write_line
from handtraj.trainer import TrainConfig

__all__ = [
    "LIVE_RANGES",
    "NEW_WORDS",
    "WORDS",
    "live_corpus",
    "live_network",
    "live_style",
    "live_training",
]

_TRAINED = """
all aloe also amen an are area arena arm arose as ear earn ease easel else enamel era lane
lean learn lens less lesson loan lose loss lunar lure male man mane manner manual mare meal
mean melon men menu mere mess mole moral more mourn mule muse name nasal near nose noun on
one or oral our ransom real roam roar role room rose rule ruler run rural sale salmon same
sane sea seal seam see seem seen sensor serum slam slum snare snore so sole some son soon
soul sour sum sure unless us use user
"""
_NEW = "alone lemon loose moon mouse nurse realm solar summer sun"
#: What is written for training: letters a e l m n o r s u, none of which needs
#: the pen to come back.
WORDS = tuple(_TRAINED.split())
#: Words of the same letters that no training line holds.
NEW_WORDS = tuple(_NEW.split())
#: What differs between the hands; all other parameters are fixed.
LIVE_RANGES: dict[str, tuple[float, float]] = {
    "slant": (-30.0, 45.0),
    "size": (60.0, 160.0),
    "aspect": (0.6, 1.6),
    "roundness": (0.0, 1.0),
    "connectedness": (0.0, 1.0),
}


def live_style(rng: np.random.Generator) -> ScribeStyle:
    """Draw the parameters of LIVE_RANGES evenly from their ranges."""
    return ScribeStyle(**{name: float(rng.uniform(*ends)) for name, ends in LIVE_RANGES.items()})


def live_corpus(writers: int = 200, words: int = 12, seed: int = 0) -> Corpus:
    """Words of synthetic writers; `about["styles"]` holds what was planted.

    One writer in ten is a test writer, one in twenty is for validation
    (:func:`handtraj.corpus.build_corpus`).

    Parameters
    ----------
    writers, words : int
        Writers, and words of each, drawn from WORDS.
    seed : int
        The same seed gives the same ink.

    Raises
    ------
    ValueError
        If there is no writer or no word, or the seed is negative.
    """
    for name, value, least in (("writers", writers, 1), ("words", words, 1), ("seed", seed, 0)):
        if value < least:
            raise ValueError(f"{name} must be at least {least}, got {value}")
    lines, planted = [], {}
    for number, child in enumerate(np.random.SeedSequence(seed).spawn(writers)):
        rng = np.random.default_rng(child)
        style, name = live_style(rng), f"live{number + 1:03d}"
        planted[name] = asdict(style)
        chosen = rng.choice(WORDS, words)
        lines += normalise_hand([write_line(str(w), style, rng) for w in chosen], name)
    about = {
        "name": "live",
        "origin": "synthetic writers: Hershey letterforms, sigma-lognormal pen movement",
        "licence": "CC0-1.0",
        "seed": seed,
        "styles": planted,
    }
    return build_corpus(lines, about=about)


def live_network() -> NetworkConfig:
    """Two layers of 100 units; 0.2 million weights."""
    # A letter of these takes twice as many points as in real writing, and a
    # density with narrow components would learn the ink's exactness, not words.
    return NetworkConfig(
        units=100, layers=2, windows=4, components=6, min_sigma=0.07, window_step=1 / 30
    )


def live_training(*, points: int = 600_000, seed: int = 0) -> TrainConfig:
    """Settings that reach legible words in about 450 updates.

    Single words, later pairs of words of one writer: that teaches the window
    to pass a blank, so that the network can be primed with a word.  The pen is
    shown beside its line, or a network of so few updates never learns to find
    back to it.

    Parameters
    ----------
    points : int
        Length of the run.
    seed : int
        Of the weights and of all draws.
    """
    sampling = SamplingConfig(
        lines=0.0,
        composed=0.7,
        words=2,
        longest=400,
        points=1500,
        pool=8,
        augmentation=AugmentationConfig(wander=0.07),
    )
    return TrainConfig(
        points=points,
        rate=8e-3,
        warmup=30,
        decay_share=0.5,
        words_first=0.15,
        average=0.99,
        seed=seed,
        # Validation would take a tenth of the time; the loop does it once, at the end.
        validate_every=10**6,
        save_every=10**6,
        sampling=sampling,
    )
