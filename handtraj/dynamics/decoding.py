"""Naming letters from states: within a style, and with one style laid over another."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from handtraj.dynamics.comparison import ALIGNMENTS, common_characters, over_pairs, overlay
from handtraj.dynamics.letters import (
    Letters,
    check_split,
    codes,
    letter_grid,
    principal_axes,
    project,
    share_out,
)
from handtraj.evaluation.bootstrap import Estimate, bootstrap

__all__ = ["Decoding", "decode_letters"]

DECODERS = ("lda", "nearest")

_Scorer = Callable[[NDArray[np.float64]], NDArray[np.int64]]


@dataclass(frozen=True, eq=False)
class Decoding:
    """How well letters are named.

    Parameters
    ----------
    accuracy : Estimate
        Share of letters named rightly, the mean over characters, so that chance
        is 1 / C for any decoder that knows nothing.  The interval resamples
        styles; with "across" both those trained on and those tested.
    chance : float
    letters : int
        Different letters that were named.
    styles, characters : tuple of str
    by_pair : array, shape (S, S)
        Accuracy by style trained on (rows) and tested (columns); NaN where not
        asked for.
    confusion : array, shape (C, C)
        Letters by what they are (rows) and what they were named (columns).
    """

    accuracy: Estimate
    chance: float
    letters: int
    styles: tuple[str, ...]
    characters: tuple[str, ...]
    by_pair: NDArray[np.float64]
    confusion: NDArray[np.int64]


@dataclass(frozen=True)
class _Plan:
    """What is asked of the decoder, with labels as numbers."""

    style: NDArray[np.int64]
    character: NDArray[np.int64]
    sizes: tuple[int, int]
    pairs: list[tuple[int, int]]
    alignment: str
    held_out: NDArray[np.int64]
    decoder: str


def decode_letters(
    letters: Letters,
    how: str = "within",
    *,
    alignment: str = "raw",
    decoder: str = "lda",
    train_styles: Sequence[str] | None = None,
    test_styles: Sequence[str] | None = None,
    folds: int | ArrayLike = 4,
    character_folds: int = 4,
    components: int = 20,
    generator: np.random.Generator | None = None,
) -> Decoding:
    """Name letters from their states, in texts that the decoder has not seen.

    Principal axes and the decoder are fitted to letters of the training texts.
    Only characters found in two folds of every style are used.

    Parameters
    ----------
    letters : Letters
    how : str
        "within": trained on other texts of the same style.  "across": trained on
        one style, tested on other texts of another, for every ordered pair.
    alignment : str
        For "across", how the tested style is laid over the one trained on: "raw",
        "centred" or "procrustes".  It is fitted to mean letters of the training
        texts and, fold by fold of characters, without the characters it is
        applied to.
    decoder : str
        "lda": linear discriminants over all phases with the Ledoit-Wolf
        covariance and even priors; "nearest": the nearest mean letter.
    train_styles, test_styles : sequence of str, optional
        Default: all styles.
    folds : int or array, shape (L,)
        Number of parts the texts are shared into, or the part of each letter.
    character_folds : int
        Parts the characters are shared into, at least 2.
    components : int
        Principal axes to keep.  An orthogonal map of K axes has K (K - 1) / 2
        free numbers; with few letters to fit it to, give fewer axes, or
        overfitting alone puts "procrustes" below "centred".
    generator : numpy Generator, optional
        Shares texts and characters out; default: one seeded with 0.

    Raises
    ------
    ValueError
        If a text or writing is on both sides, styles or texts are too few, or no
        two characters are common to all styles.
    """
    known = {"how": ("within", "across"), "alignment": ALIGNMENTS, "decoder": DECODERS}
    for name, value in {"how": how, "alignment": alignment, "decoder": decoder}.items():
        if value not in known[name]:
            raise ValueError(f"{name} must be one of {', '.join(known[name])}, got {value!r}")
    if how == "within" and alignment != "raw":
        raise ValueError(f"within a style there is nothing to align, got alignment {alignment!r}")
    rng = generator or np.random.default_rng(0)
    trained = tuple(train_styles or letters.styles)
    tested = tuple(test_styles or letters.styles)
    styles = tuple(sorted({*trained, *tested}))
    letters = letters if styles == letters.styles else _of_styles(letters, styles, folds)
    fold = _folds(letters, folds, rng)
    pairs = [
        (a, b)
        for a, s in enumerate(styles)
        for b, t in enumerate(styles)
        if s in trained and t in tested and (a == b) == (how == "within")
    ]
    if not pairs:
        raise ValueError(f"{how} needs {'a style' if how == 'within' else 'two styles'}, got "
                         f"{', '.join(styles)} only; record more styles")  # fmt: skip
    found = common_characters(letters, styles, fold, 3 if alignment != "raw" else 2)
    parts = share_out(found, min(max(2, character_folds), len(found)), rng)
    plan = _Plan(
        codes(letters.style, styles),
        codes(letters.character, found),
        (len(styles), len(found)),
        pairs,
        alignment,
        np.array([parts[c] for c in found]),
        decoder,
    )
    counts = np.zeros((len(styles), len(styles), len(found), len(found)), np.int64)
    for part in np.unique(fold):
        check_split(letters, fold != part, fold == part)
        _decode_fold(letters.warped, fold != part, fold == part, plan, components, counts)
    return _decoding(counts, plan, styles, found, how, trained == tested)


def _of_styles(letters: Letters, styles: tuple[str, ...], folds: int | ArrayLike) -> Letters:
    if not isinstance(folds, int):
        raise ValueError("with folds of one's own select the styles first: letters.select(styles=)")
    return letters.select(styles=styles)


def _folds(letters: Letters, folds: int | ArrayLike, rng: np.random.Generator) -> NDArray[np.int64]:
    """The part of every letter, whole texts together."""
    if isinstance(folds, int):
        if not 2 <= folds <= len(letters.texts):
            raise ValueError(
                f"folds must be from 2 to the number of texts, {len(letters.texts)}, got {folds}; "
                "record more texts, or ask for fewer folds"
            )
        parts = share_out(letters.texts, folds, rng)
        return np.array([parts[t] for t in letters.text.tolist()])
    fold = np.asarray(folds)
    if fold.shape != (len(letters),) or len(np.unique(fold)) < 2:
        raise ValueError(f"folds must give each of {len(letters)} letters one of two or more parts")
    return fold


def _decode_fold(
    warped: NDArray[Any],
    train: NDArray[np.bool_],
    test: NDArray[np.bool_],
    plan: _Plan,
    components: int,
    counts: NDArray[np.int64],
) -> None:
    """Count what the letters of one fold are named, into (S, S, C, C)."""
    used = (plan.style >= 0) & (plan.character >= 0)
    mean, axes, _ = principal_axes(warped, components, np.flatnonzero(train & used))
    z = project(warped, mean, axes)
    means, _ = letter_grid(z, np.where(train, plan.style, -1), plan.character, plan.sizes)
    for a in sorted({a for a, _ in plan.pairs}):
        mine = train & used & (plan.style == a)
        decode = _fit(z[mine], plan.character[mine], plan.sizes[1], plan.decoder)
        for b in (b for first, b in plan.pairs if first == a):
            asked = np.flatnonzero(test & used & (plan.style == b))
            true = plan.character[asked]
            laid = z[asked]
            if plan.alignment != "raw":
                for part in range(plan.held_out.max() + 1):
                    fit = plan.held_out != part
                    there, here, turn = overlay(means[b][fit], means[a][fit], plan.alignment)
                    now = plan.held_out[true] == part
                    laid[now] = (laid[now] - there) @ turn + here
            if len(asked):
                np.add.at(counts[a, b], (true, decode(laid)), 1)


def _fit(
    z: NDArray[np.float64], labels: NDArray[np.int64], characters: int, decoder: str
) -> _Scorer:
    """Linear discriminants with even priors; for "nearest", with equal variances."""
    from sklearn.covariance import ledoit_wolf  # type: ignore[import-untyped]

    x = z.reshape(len(z), -1)
    means, _ = letter_grid(x[:, None], np.zeros_like(labels), labels, (1, characters))
    means = means[0, :, 0]
    weights = means
    residual = x - means[labels]
    if decoder == "lda" and (residual**2).sum() > 1e-12 * (x**2).sum():
        covariance, _ = ledoit_wolf(residual, assume_centered=True)
        covariance += 1e-6 * np.trace(covariance) / len(covariance) * np.eye(len(covariance))
        weights = np.linalg.solve(covariance, means.T).T
    bias = (weights * means).sum(axis=1) / 2
    return lambda asked: (asked.reshape(len(asked), -1) @ weights.T - bias).argmax(axis=1)


def _decoding(
    counts: NDArray[np.int64],
    plan: _Plan,
    styles: tuple[str, ...],
    characters: tuple[str, ...],
    how: str,
    pairs_alike: bool,
) -> Decoding:
    """Accuracy by pair of styles and over all of them."""
    right = np.diagonal(counts, axis1=2, axis2=3)
    by_pair = np.full(plan.sizes[:1] * 2, np.nan)
    for pair in plan.pairs:
        by_pair[pair] = (right[pair] / counts[pair].sum(axis=1)).mean()
    tested = sorted({b for _, b in plan.pairs})
    n = int(counts[:, tested].sum(axis=(2, 3)).max(axis=0).sum())
    if how == "across" and pairs_alike:
        accuracy = over_pairs(by_pair)
    else:
        accuracy = bootstrap(np.nanmean(by_pair[:, tested], axis=0))
    return Decoding(
        accuracy, 1 / plan.sizes[1], n, styles, characters, by_pair, counts.sum(axis=(0, 1))
    )
