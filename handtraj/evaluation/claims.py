"""Both claims in numbers: how styles, and how letters, lie in the states of a layer.

Charbonneau & Shouno (2018) claim that styles lie in different subspaces, and that
within one of them characters are different dynamics.  What each number here must
beat stands beside it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.decoding import Decoding, decode
from handtraj.dynamics.comparison import same_dynamics
from handtraj.dynamics.decoding import decode_letters
from handtraj.dynamics.letters import cut_letters
from handtraj.dynamics.variances import dpca_array, marginal_variances
from handtraj.evaluation.bootstrap import bootstrap
from handtraj.evaluation.line_features import line_features
from handtraj.ink import Ink
from handtraj.subspaces import (
    Moments,
    Subspace,
    held_out_curve,
    mean_against_space,
    moments_by,
    participation_ratio,
    principal_angles,
    random_subspaces,
    remove_means,
    shuffled,
    split_half,
)
from handtraj.trajectories import Trajectories

__all__ = [
    "DIMENSIONS",
    "alignment",
    "ink_decoding",
    "ink_of",
    "letter_measures",
    "style_measures",
]

#: Numbers of kept dimensions at which subspaces are compared.
DIMENSIONS = (2, 5, 10, 20)
#: Steps after the prime at whose borders the time course of decoding is cut.
COURSE = (0, 25, 50, 100, 200, 300, 400)


def style_measures(
    traj: Trajectories,
    layer: str,
    sources: Mapping[str, str],
    *,
    components: int = 100,
    draws: int = 20,
    permutations: int = 50,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Claim one, for one layer.

    Parameters
    ----------
    traj : Trajectories
        The same texts in every style.
    layer : str
    sources : mapping
        Source of each style; what counts is told apart within a source.
    components : int
        States are first put on so many principal components of all of them.
    draws, permutations : int
        Of the nulls.
    generator : numpy Generator

    Returns
    -------
    dict
        For JSON.  "dimensions": variance along principal components on other
        texts, and participation ratios.  "alignment": see :func:`alignment`,
        raw and with the means of letters removed.  "angles": principal angles
        in degrees at 10 dimensions.  "means": share of the variance between
        styles' means, its null, and the share of that within the space in which
        all styles move.  "decoding": the style named from one state, from the
        mean of a writing, and from its covariance about its mean, within
        sources; "course": from one state, by steps since the prime.
    """
    style, writing = traj.column("style"), traj.column("writing")
    text, character = traj.column("text"), traj.column("character")
    source = np.array([sources[s] for s in style.tolist()])
    whole = Moments.of(traj.layer(layer))
    space = Subspace.fit(whole, min(components, whole.units))
    z = space.project(traj.layer(layer)).astype(np.float32)
    _, writings = moments_by(z, writing)
    of = {name: traj.per_writing(name) for name in ("style", "text")}
    strata = np.array([sources[s] for s in of["style"].tolist()])
    found: dict[str, Any] = {"kept": float(space.shares.sum())}
    found["dimensions"] = _dimensions(writings, of["style"], of["text"])
    no_letters = moments_by(remove_means(z, character), writing)[1]
    found["alignment"] = {
        name: alignment(m, of["style"], of["text"], strata, draws=draws, generator=generator)
        for name, m in (("raw", writings), ("letters removed", no_letters))
    }
    found["angles"] = _angles(writings, of["style"], of["text"], strata, generator)
    apart = mean_against_space(
        writings, of["style"], 10, strata=strata, draws=draws, generator=generator
    )
    found["means"] = {
        "between": apart.between,
        "null": float(np.mean(apart.between_null)),
        "inside": apart.inside,
    }
    # Neighbouring states say nearly the same; one in four is enough.
    thin = traj.column("step") % 4 == 0
    common: dict[str, Any] = {"permutations": permutations, "generator": generator}
    states = decode(z[thin], style[thin], text[thin], writing[thin], strata=source[thin], **common)
    means = decode(z, style, text, writing, pool="writing", strata=source, **common)
    spread = decode(z[:, :50], style, text, writing, method="covariance", strata=source, **common)
    everyone = decode(z[thin], style[thin], text[thin], writing[thin], generator=generator)
    found["decoding"] = {
        "state": states.brief(),
        "writing mean": means.brief(),
        "writing covariance": spread.brief(),
        "state, all sources": everyone.brief(),
    }
    found["course"] = _course(states, traj.column("step")[thin], writing[thin])
    return found


def _dimensions(writings: Moments, styles: NDArray[Any], texts: NDArray[Any]) -> dict[str, Any]:
    """Variance curves on texts never fitted, and participation ratios."""
    names = np.unique(texts)
    train = np.isin(texts, names[::2])
    sizes = [d for d in (1, 2, 3, 5, 10, 20, 50, 100) if d <= writings.units]
    everyone = held_out_curve(writings[train].total(), writings[~train].total(), sizes)
    one = [
        held_out_curve(
            writings[train & (styles == s)].total(), writings[~train & (styles == s)].total(), sizes
        )
        for s in np.unique(styles)
    ]
    ratios = [participation_ratio(writings[styles == s].total()) for s in np.unique(styles)]
    return {
        "sizes": sizes,
        "all": everyone.tolist(),
        "one style": np.mean(one, axis=0).tolist(),
        "participation": participation_ratio(writings.total()),
        "participation, one style": bootstrap(ratios).as_dict(),
    }


def alignment(
    writings: Moments,
    styles: NDArray[Any],
    texts: NDArray[Any],
    strata: NDArray[Any],
    *,
    dimensions: Sequence[int] = DIMENSIONS,
    draws: int = 20,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Alignment indices of styles at several dimensions, between ceiling and floor.

    Always between one half of the texts and the other.

    Returns
    -------
    dict
        For each dimension: "same" style, other texts (the ceiling); "other" styles;
        "other within" the same source; "shuffled": writings shuffled over the
        styles of a source (the floor); "random" subspaces with the covariance of
        all; "apart": same - other within, its spread with writings shuffled, and
        "p", its place among them.  Intervals are over styles.
    """
    sizes = list(dimensions)
    common: dict[str, Any] = {"texts": texts, "draws": draws, "generator": generator}
    halves = split_half(writings, styles, sizes, **common).mean(0)
    null = shuffled(writings, styles, sizes, strata=strata, **common)
    keys, groups = writings.merge(styles)
    chance = random_subspaces(groups, sizes, draws=5 * draws, generator=generator)
    place = np.array([strata[np.flatnonzero(styles == k)[0]] for k in keys])
    near = (place[:, None] == place) & ~np.eye(len(keys), dtype=bool)
    far = ~np.eye(len(keys), dtype=bool)
    kept = near.any(axis=1)
    found: dict[str, Any] = {}
    for d, size in enumerate(sizes):
        same = np.diag(halves[:, :, d])
        within = _rows_mean(halves[:, :, d], near)
        apart = same[kept] - within[kept]
        others = [_gap(one[:, :, d], near) for one in null]
        found[str(size)] = {
            "same": bootstrap(same).as_dict(),
            "other": bootstrap(_rows_mean(halves[:, :, d], far)).as_dict(),
            "other within": bootstrap(within[kept]).as_dict(),
            "shuffled": float(np.mean([_rows_mean(n[:, :, d], near)[kept] for n in null])),
            "random": float(chance[:, :, d].mean()),
            "apart": bootstrap(apart).as_dict(),
            "apart, shuffled": [float(q) for q in np.quantile(others, [0.025, 0.5, 0.975])],
            "p": float((1 + sum(o >= apart.mean() for o in others)) / (1 + len(others))),
        }
    return found


def _rows_mean(matrix: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float64]:
    count = mask.sum(axis=1)
    total = (matrix * mask).sum(axis=1)
    return np.divide(total, count, out=np.full(len(total), np.nan), where=count > 0)


def _gap(matrix: NDArray[np.float64], near: NDArray[np.bool_]) -> float:
    return float(np.nanmean(np.diag(matrix) - _rows_mean(matrix, near)))


def _angles(
    writings: Moments,
    styles: NDArray[Any],
    texts: NDArray[Any],
    strata: NDArray[Any],
    generator: np.random.Generator,
    dimension: int = 10,
) -> dict[str, Any]:
    """Principal angles of one split of the texts: same style, and others of its source."""
    names = generator.permutation(np.unique(texts))
    first = np.isin(texts, names[::2])
    keys = np.unique(styles)
    spaces = [
        [Subspace.fit(writings[side & (styles == k)].total(), dimension) for k in keys]
        for side in (first, ~first)
    ]
    place = [strata[np.flatnonzero(styles == k)[0]] for k in keys]
    same, other = [], []
    for i in range(len(keys)):
        same.append(principal_angles(spaces[0][i], spaces[1][i]))
        near = [j for j in range(len(keys)) if j != i and place[j] == place[i]]
        if near:
            angles = [principal_angles(spaces[0][i], spaces[1][j]) for j in near]
            other.append(np.mean(angles, axis=0))
    return {
        "dimension": dimension,
        "same": np.mean(same, axis=0).tolist(),
        "other within": np.mean(other, axis=0).tolist() if other else None,
    }


def _course(
    found: Decoding, step: NDArray[np.int64], writing: NDArray[np.int64]
) -> list[dict[str, Any]]:
    """Accuracy of single states by steps since the prime, its interval over writings."""
    rows = []
    at, who = step[found.units], writing[found.units]
    for low, high in zip(COURSE, [*COURSE[1:], None], strict=True):
        inside = (at >= low) & (at < (high or np.inf))
        if inside.sum() >= 50:
            estimate = bootstrap(found.right[inside], who[inside], draws=500)
            rows.append({"from": low, "to": high, **estimate.as_dict()})
    return rows


def ink_of(traj: Trajectories) -> list[Ink]:
    """The ink of every writing, in x-heights."""
    table = np.column_stack([traj.column(n) for n in ("dx", "dy", "pen")]).astype(np.float32)
    return [Ink(piece) for piece in np.split(table, traj.starts[1:])]


def ink_decoding(
    traj: Trajectories,
    sources: Mapping[str, str],
    *,
    stretch: int = 60,
    per_writing: int = 4,
    permutations: int = 50,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """The style named from ink alone: what states must beat.

    Parameters
    ----------
    traj : Trajectories
    sources : mapping
    stretch : int
        A single state is set against the features of the last so many points.
    per_writing : int
        Stretches taken of each writing.
    permutations, generator
        As for :func:`style_measures`.

    Returns
    -------
    dict
        "writing": from the 139 features of the whole line; "stretch": from those
        of a stretch of it.
    """
    inks = ink_of(traj)
    styles, texts = traj.per_writing("style"), traj.per_writing("text")
    strata = np.array([sources[s] for s in styles.tolist()])
    whole = np.array([line_features(ink) for ink in inks])
    pieces, owner = [], []
    for number, ink in enumerate(inks):
        ends = np.linspace(stretch, len(ink), per_writing).astype(int)
        for end in np.unique(ends[ends <= len(ink)]):
            pieces.append(line_features(Ink(ink.offsets[end - stretch : end])))
            owner.append(number)
    at = np.array(owner)
    common: dict[str, Any] = {
        "method": "linear",
        "permutations": permutations,
        "generator": generator,
    }
    every = np.arange(len(inks))
    long = decode(_scaled(whole), styles, texts, every, pool="writing", strata=strata, **common)
    short = decode(
        _scaled(np.array(pieces)), styles[at], texts[at], at, strata=strata[at], **common
    )
    return {"writing": long.brief(), "stretch": short.brief(), "points": stretch}


def _scaled(features: NDArray[np.float64]) -> NDArray[np.float64]:
    """Unit variance: the decoder's sphere means nothing between degrees and logarithms."""
    spread = features.std(axis=0)
    return (features - features.mean(axis=0)) / np.where(spread > 0, spread, 1)


def letter_measures(
    traj: Trajectories,
    layer: str,
    *,
    points: int = 10,
    splits: int = 5,
    generator: np.random.Generator,
) -> dict[str, Any]:
    """Claim two, for one layer.

    Parameters
    ----------
    traj : Trajectories
        The same texts in every style; ten or a dozen styles are enough.
    layer : str
    points : int
        Phases a letter is warped to.
    splits : int
        Halvings of the texts for the distances.
    generator : numpy Generator

    Returns
    -------
    dict
        For JSON.  "decoding": letters named within a style, and across styles
        raw, centred and after Procrustes.  "distance": of mean letters of two
        styles, likewise, with the floor (one style, other texts) and the ceiling
        (other letters).  "variance": shares of the mean letters' variance by
        letter, style, time and their interactions, corrected for noise.
    """
    letters = cut_letters(traj, layer, points)
    decoded = {"within": decode_letters(letters, "within", generator=generator)}
    for how in ("raw", "centred", "procrustes"):
        decoded[how] = decode_letters(letters, "across", alignment=how, generator=generator)
    apart = same_dynamics(letters, splits=splits, generator=generator)
    array = dpca_array(letters, generator=generator)
    marginals = marginal_variances(array.means, array.trials)
    first = next(iter(decoded.values()))
    return {
        "letters": len(letters),
        "characters": "".join(first.characters),
        "chance": first.chance,
        "decoding": {name: d.accuracy.as_dict() for name, d in decoded.items()},
        "distance": {name: e.as_dict() for name, e in apart.summary().items()},
        "variance": {
            "shares": marginals.shares(corrected=True),
            "characters": "".join(array.characters),
            "kept": array.kept,
        },
    }
