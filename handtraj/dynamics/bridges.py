"""Demixed PCA and dynamical similarity analysis, by the packages that define them.

Both packages are loaded when a function is called: together they bring numba and
torch and take seconds to import.
"""

from __future__ import annotations

import importlib
import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from handtraj.dynamics.letters import share_out
from handtraj.dynamics.variances import (
    JOINED,
    Marginals,
    marginal_test,
    marginal_variances,
    marginalise,
)

__all__ = ["Demixed", "DynamicalDistances", "demix", "dsa_distance", "dsa_matrix"]

METHODS = ("wasserstein", "angular", "euclidean")


def _package(name: str) -> Any:
    """Import a package of the extra `analysis`, without the warnings of its own source."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            return importlib.import_module(name)
        except ImportError as error:
            raise ValueError(
                f"{name.split('.')[0]} is not installed; pip install 'handtraj[analysis]'"
            ) from error


@contextmanager
def _seeded(rng: np.random.Generator) -> Iterator[None]:
    """Seed numpy's global generator, which dPCA draws from, and put it back after."""
    state = np.random.get_state()  # noqa: NPY002
    np.random.seed(int(rng.integers(2**32)))  # noqa: NPY002
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        np.random.set_state(state)  # noqa: NPY002


@dataclass(frozen=True, eq=False)
class Demixed:
    """Demixed components of a style x letter x time array.

    All mappings have the names s, l, sl and t (see JOINED); C components each.

    Parameters
    ----------
    marginals : Marginals
        Closed-form variances, the independent check of `explained`.
    explained : dict of array, shape (C,)
        Share of the whole variance that each component holds, by the package.
    purity : dict of array, shape (C,)
        Share of a component's variance that belongs to its own marginal: 1 where
        demixing is complete.
    components : dict of array, shape (C, S, L, T)
    decoders, encoders : dict of array, shape (N, C)
    held_out : dict of float, or None
        Share of the marginal of a group of texts that components fitted to the
        other groups reconstruct from the whole of it, mean over groups.  Noise
        counts as unexplained, and below 0 is possible.
    p_values : dict of float, or None
        See :func:`~handtraj.dynamics.variances.marginal_test`; none for time.
    """

    marginals: Marginals
    explained: dict[str, NDArray[np.float64]]
    purity: dict[str, NDArray[np.float64]]
    components: dict[str, NDArray[np.float64]]
    decoders: dict[str, NDArray[np.float64]]
    encoders: dict[str, NDArray[np.float64]]
    held_out: dict[str, float] | None
    p_values: dict[str, float] | None


def demix(
    means: NDArray[np.float64],
    trials: NDArray[np.float64] | None = None,
    *,
    components: int = 3,
    regularizer: float | None = None,
    draws: int = 1000,
    generator: np.random.Generator | None = None,
) -> Demixed:
    """Demixed PCA (Kobak et al. 2016) of mean letters.

    The package's own significance test is not used: it shuffles trials across
    units as well as conditions, so it does not keep what a unit is.

    Parameters
    ----------
    means : array, shape (N, S, L, T)
        Best no more than about 40 principal components, as
        :func:`~handtraj.dynamics.variances.dpca_array` gives them.
    trials : array, shape (K, N, S, L, T), optional
        Groups of texts; without them there are no p values and nothing held out.
    components : int
        C a marginal, at most N.
    regularizer : float, optional
        As the package takes it: relative to the variance of the data.
    draws : int
        Permutations of the test.
    generator : numpy Generator, optional
        Default: one seeded with 0.

    Raises
    ------
    ValueError
        If the shapes do not fit or the package is not installed.
    """
    marginals = marginal_variances(means, trials)
    if not 1 <= components <= len(means):
        raise ValueError(f"components must be from 1 to {len(means)} units, got {components}")
    if regularizer is not None and not 0 <= regularizer < math.inf:
        raise ValueError(f"regularizer must be None or a number >= 0, got {regularizer!r}")
    rng = generator or np.random.default_rng(0)
    model = _dpca(means, components, regularizer, rng)
    found = model.transform(means)
    purity = {}
    for name in JOINED:
        shares = [marginal_variances(c[None]).shares(joined=True)[name] for c in found[name]]
        purity[name] = np.array(shares)
    held_out = p_values = None
    if trials is not None:
        held_out = _held_out(trials, components, regularizer, rng)
        p_values = marginal_test(trials, draws=draws, generator=rng)
    return Demixed(
        marginals,
        {n: np.array(model.explained_variance_ratio_[n]) for n in JOINED},
        purity,
        {n: found[n] for n in JOINED},
        {n: model.D[n] for n in JOINED},
        {n: model.P[n] for n in JOINED},
        held_out,
        p_values,
    )


def _dpca(
    means: NDArray[np.float64], components: int, regularizer: float | None, rng: np.random.Generator
) -> Any:
    """A fitted model of the package."""
    package = _package("dPCA.dPCA")
    join = {name: list(of) for name, of in JOINED.items() if len(of) > 1}
    # Its randomised decomposition is near enough to exact after a few iterations.
    model = package.dPCA(
        labels="slt", join=join, n_components=components, regularizer=regularizer, n_iter=8
    )
    with _seeded(rng):
        return model.fit(means)


def _held_out(
    trials: NDArray[np.float64],
    components: int,
    regularizer: float | None,
    rng: np.random.Generator,
) -> dict[str, float]:
    """Share of each marginal of one group that the others' components reconstruct."""
    scores: dict[str, list[float]] = {name: [] for name in JOINED}
    for k, asked in enumerate(trials):
        rest = np.delete(trials, k, axis=0).mean(axis=0)
        model = _dpca(rest, components, regularizer, rng)
        whole = asked - asked.mean(axis=(1, 2, 3), keepdims=True)
        flat = whole.reshape(len(whole), -1)
        parts = marginalise(asked)
        for name, of in JOINED.items():
            marginal = np.zeros_like(whole)
            for part in of:
                marginal += parts[part]
            marginal = marginal.reshape(flat.shape)
            error = ((marginal - model.P[name] @ (model.D[name].T @ flat)) ** 2).sum()
            total = (marginal**2).sum()
            scores[name].append(1 - error / total if total else 0.0)
    return {name: float(np.mean(values)) for name, values in scores.items()}


@dataclass(frozen=True, eq=False)
class DynamicalDistances:
    """Distances between the dynamics of groups of trials.

    Parameters
    ----------
    names : tuple of str
    distances : array, shape (G, G)
        Between half the trials of one group and the other half of another,
        symmetric; the diagonal holds the distance between the halves of one
        group, the floor.
    """

    names: tuple[str, ...]
    distances: NDArray[np.float64]

    @property
    def floor(self) -> NDArray[np.float64]:
        """Distance between the halves of each group, shape (G,)."""
        return np.diagonal(self.distances).copy()


def dsa_distance(
    a: Sequence[NDArray[Any]],
    b: Sequence[NDArray[Any]],
    *,
    delays: int = 5,
    rank: int = 10,
    components: int = 10,
    method: str = "wasserstein",
    iterations: int = 500,
    generator: np.random.Generator | None = None,
) -> float:
    """Distance between the linear dynamics of two sets of trials, whatever their axes.

    Dynamical similarity analysis (Ostrow et al. 2023, arXiv:2306.10168): each set
    is delay-embedded, its map to the next step is fitted, and the maps are
    compared.  Each set has its own principal axes, since the comparison does not
    depend on axes.  The network is driven by its input and window, so this
    describes states in use, not the network left alone.

    Parameters
    ----------
    a, b : sequence of array, shape (T, N)
        Trials in steps, not warped: warping changes the dynamics.
    delays : int
        States in one embedded point, at least 1.
    rank : int
        Rank of the fitted map.
    components : int
        Principal axes of each set.
    method : str
        "wasserstein": mean squared distance between matched eigenvalues, quick
        and exact; "angular" (radians) and "euclidean" compare the normalised maps
        under the best orthogonal change of axes, found by descent.
    iterations : int
        Steps of the descent.
    generator : numpy Generator, optional
        Seeds the descent; default: one seeded with 0.

    Raises
    ------
    ValueError
        If trials are too short or too few for the embedding, or the package is
        not installed.
    """
    settings = _Settings(delays, rank, components, method, iterations)
    rng = generator or np.random.default_rng(0)
    return float(_dsa({"a": a, "b": b}, settings, rng)[0, 1])


def dsa_matrix(
    groups: Mapping[str, Sequence[NDArray[Any]]],
    *,
    texts: Mapping[str, Sequence[str]] | None = None,
    delays: int = 5,
    rank: int = 10,
    components: int = 10,
    method: str = "wasserstein",
    iterations: int = 500,
    generator: np.random.Generator | None = None,
) -> DynamicalDistances:
    """Distances between all groups, between halves so that the floor is comparable.

    Parameters
    ----------
    groups : mapping of sequence of array, shape (T, N)
        Trials of each group, two at least.
    texts : mapping of sequence of str, optional
        Text of every trial: halves then share no text.  Default: halves of the
        trials.
    delays, rank, components, method, iterations, generator
        As for :func:`dsa_distance`; the generator also shares out halves.

    Raises
    ------
    ValueError
        As for :func:`dsa_distance`, and if a group has nothing in one half.
    """
    settings = _Settings(delays, rank, components, method, iterations)
    rng = generator or np.random.default_rng(0)
    names = tuple(groups)
    if len(names) < 2:
        raise ValueError(f"comparing needs two groups at least, got {len(names)}")
    if texts is None:
        texts = {name: [str(i) for i in range(len(groups[name]))] for name in names}
    parts = share_out(sorted({t for name in names for t in texts[name]}), 2, rng)
    halves: dict[str, Sequence[NDArray[Any]]] = {}
    for half in (0, 1):
        for name in names:
            sides = zip(groups[name], texts[name], strict=True)
            found = [trial for trial, text in sides if parts[text] == half]
            if not found:
                raise ValueError(
                    f"group {name!r} has no trial in one half; give it more trials or texts"
                )
            halves[f"{name} (half {half + 1})"] = found
    cross = _dsa(halves, settings, rng)[: len(names), len(names) :]
    return DynamicalDistances(names, (cross + cross.T) / 2)


@dataclass(frozen=True)
class _Settings:
    delays: int
    rank: int
    components: int
    method: str
    iterations: int

    def __post_init__(self) -> None:
        if self.method not in METHODS:
            raise ValueError(f"method must be one of {', '.join(METHODS)}, got {self.method!r}")
        for name in ("delays", "rank", "components", "iterations"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be >= 1, got {getattr(self, name)}")


def _dsa(
    groups: Mapping[str, Sequence[NDArray[Any]]], settings: _Settings, rng: np.random.Generator
) -> NDArray[np.float64]:
    """Distances between all groups, shape (G, G)."""
    systems = [_reduced(name, trials, settings) for name, trials in groups.items()]
    package, torch = _package("DSA"), _package("torch")
    with warnings.catch_warnings(), torch.random.fork_rng(devices=[]):
        warnings.simplefilter("ignore")
        torch.manual_seed(int(rng.integers(2**63)))
        model = package.DSA(
            systems,
            n_delays=settings.delays,
            rank=settings.rank,
            score_method=settings.method,
            iters=settings.iterations,
        )
        return np.asarray(model.fit_score(), dtype=np.float64).reshape(len(groups), len(groups))


def _reduced(
    name: str, trials: Sequence[NDArray[Any]], settings: _Settings
) -> list[NDArray[np.float32]]:
    """Trials in the principal axes of their own set, centred and of unit variance."""
    if not len(trials) or any(t.ndim != 2 or len(t) <= settings.delays for t in trials):
        raise ValueError(
            f"group {name!r} needs trials (T, units) of more than {settings.delays} steps; "
            "leave out short trials, or ask for fewer delays"
        )
    x = np.concatenate(trials).astype(np.float64)
    x -= x.mean(axis=0)
    k = min(settings.components, x.shape[1])
    rows = sum(len(t) - settings.delays for t in trials)
    if rows < settings.delays * k or settings.rank > settings.delays * k:
        raise ValueError(
            f"group {name!r} has {rows} embedded steps of {settings.delays * k} numbers for rank "
            f"{settings.rank}; give more trials, or ask for fewer delays, components or ranks"
        )
    values, axes = np.linalg.eigh(x.T @ x)
    if not values[-1] > 0:
        raise ValueError(f"group {name!r} does not move; give trials whose states change")
    found = x @ axes[:, ::-1][:, :k] / math.sqrt(values.sum() / len(x))
    cuts = np.cumsum([len(t) for t in trials])[:-1]
    return [part.astype(np.float32) for part in np.split(found, cuts)]
