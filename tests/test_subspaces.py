"""Subspaces against numpy and scipy, constructed angles, closed forms, and what was planted."""

import sys

import numpy as np
import pytest
from scipy.stats import ortho_group

from handtraj import subspaces
from handtraj.subspaces import (
    Moments,
    Subspace,
    alignment_index,
    captured_matrix,
    held_out_curve,
    mean_against_space,
    moments_by,
    participation_ratio,
    permute_within,
    principal_angles,
    random_basis,
    random_subspaces,
    remove_means,
    shuffled,
    split_half,
)
from handtraj.trajectories import COLUMNS, Trajectories


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def rotation(units, seed=0):
    return ortho_group.rvs(units, random_state=seed)


def rows_with(covariance, count, rng):
    """Rows whose covariance about their mean is exactly this one."""
    x = rng.standard_normal((count, len(covariance)))
    x -= x.mean(axis=0)
    white = x @ np.linalg.inv(np.linalg.cholesky(x.T @ x / count)).T
    return white @ np.linalg.cholesky(covariance).T


def planted(rng, styles=3, texts=4, repeats=2, steps=60, units=12, shared=False):
    """Writings whose style turns the space they move in; letters are the same for all."""
    turns = [rotation(units, seed=0 if shared else s) for s in range(styles)]
    spread = np.r_[3.0, 2.0, 1.5, np.full(units - 3, 0.2)]
    x, table = [], []
    for s in range(styles):
        for t in range(texts):
            for _ in range(repeats):
                x.append((rng.standard_normal((steps, units)) * spread) @ turns[s].T)
                table += [(f"s{s}", f"t{t}", len(x) - 1)] * steps
    names = list(zip(*table, strict=True))
    return np.concatenate(x), *(np.array(n) for n in names)


def per_writing(values, writing):
    return values[np.unique(writing, return_index=True)[1]]


# Moments


def test_moments_are_mean_and_covariance(rng):
    x = rng.normal(2.0, 1.0, (50, 4)).astype(np.float32)
    found = Moments.of(x)
    assert found.count == 50
    np.testing.assert_allclose(found.mean, x.astype(float).mean(axis=0))
    np.testing.assert_allclose(found.covariance, np.cov(x.astype(float).T, bias=True), atol=1e-12)
    assert found.variance == pytest.approx(x.astype(float).var(axis=0).sum())
    about = x - np.arange(4.0)
    np.testing.assert_allclose(found.about(np.arange(4.0)), about.T @ about / 50, atol=1e-12)


def test_moments_add_and_subtract(rng):
    a, b = rng.standard_normal((20, 3)), rng.standard_normal((30, 3)) + 5
    both = Moments.of(a) + Moments.of(b)
    direct = np.cov(np.concatenate([a, b]).T, bias=True)
    np.testing.assert_allclose(both.covariance, direct, atol=1e-12)
    np.testing.assert_allclose(
        (both - Moments.of(b)).covariance, np.cov(a.T, bias=True), atol=1e-12
    )
    with pytest.raises(ValueError, match="cannot take 50 rows from 20"):
        Moments.of(a) - both
    with pytest.raises(ValueError, match="3 and 2 units"):
        both + Moments.of(a[:, :2])


def test_moments_of_groups_merge_and_project(rng):
    x = rng.standard_normal((60, 5))
    group = rng.integers(6, size=60)
    keys, stack = moments_by(x, group)
    assert keys.tolist() == list(range(6))
    assert len(stack) == 6
    for key, one in zip(keys, stack, strict=True):
        np.testing.assert_allclose(one.covariance, np.cov(x[group == key].T, bias=True), atol=1e-12)
    names, merged = stack.merge(["b", "a", "b", "a", "a", "b"])
    assert names.tolist() == ["a", "b"]
    odd = np.isin(group, [1, 3, 4])
    np.testing.assert_allclose(merged[0].covariance, np.cov(x[odd].T, bias=True), atol=1e-12)
    np.testing.assert_allclose(merged.total().covariance, np.cov(x.T, bias=True), atol=1e-12)
    turn = rotation(5)[:, :2]
    np.testing.assert_allclose(
        stack.project(turn).covariance[2], np.cov((x[group == 2] @ turn).T, bias=True), atol=1e-12
    )
    own = np.concatenate([x[group == k] - x[group == k].mean(axis=0) for k in keys])
    np.testing.assert_allclose(
        stack.centred().total().covariance, np.cov(own.T, bias=True), atol=1e-12
    )


def test_means_of_labels_are_removed():
    x = np.array([[1.0, 0], [3, 0], [10, 1], [20, 3]])
    np.testing.assert_array_equal(
        remove_means(x, ["a", "a", "b", "b"]), [[-1, 0], [1, 0], [-5, -1], [5, 1]]
    )
    alone = remove_means(x.astype(np.float32), ["a", "a", "b", "b"], [0, 1, 0, 1])
    np.testing.assert_array_equal(alone, np.zeros((4, 2)))
    assert alone.dtype == np.float32
    assert remove_means(x.astype(int), [0, 0, 1, 1]).dtype == np.float64


def test_moments_errors(rng):
    x = rng.standard_normal((4, 2))
    with pytest.raises(ValueError, match="NaN or infinity"):
        Moments.of([[np.inf, 0.0]])
    with pytest.raises(ValueError, match=r"got \(0, 2\)"):
        Moments.of(x[:0])
    with pytest.raises(ValueError, match="real numbers"):
        Moments.of([["a", "b"]])
    with pytest.raises(ValueError, match="4 rows need as many labels"):
        moments_by(x, [1, 2])
    with pytest.raises(ValueError, match="at least one array"):
        remove_means(x)
    with pytest.raises(ValueError, match="count"):
        Moments(np.ones(2), np.zeros((2, 3)), np.zeros((2, 3)))
    with pytest.raises(ValueError, match="basis must have shape"):
        Moments.of(x).project(np.eye(3))
    empty = Moments(np.array(0.0), np.zeros(2), np.zeros((2, 2)))
    with pytest.raises(ValueError, match="at least one row"):
        _ = empty.mean
    with pytest.raises(TypeError, match="no length"):
        len(Moments.of(x))
    with pytest.raises(ValueError, match="a stack"):
        alignment_index(moments_by(x, [0, 0, 1, 1])[1], np.eye(2))


# One subspace


def test_principal_components_are_those_of_numpy(rng):
    x = rng.standard_normal((200, 6)) @ rng.standard_normal((6, 6)) + 3
    found = Subspace.fit(x, 4)
    _, values, rows = np.linalg.svd(x - x.mean(axis=0), full_matrices=False)
    np.testing.assert_allclose(np.abs((found.basis * rows[:4].T).sum(axis=0)), 1, atol=1e-10)
    np.testing.assert_allclose(found.variances, values[:4] ** 2 / 200)
    assert found.total == pytest.approx(x.var(axis=0).sum())
    largest = found.basis[np.abs(found.basis).argmax(axis=0), range(4)]
    assert (largest > 0).all()
    again = Subspace.fit(Moments.of(x[::-1]), 4)
    np.testing.assert_allclose(again.basis, found.basis, atol=1e-9)


def test_dimension_by_share_or_by_rank(rng):
    x = rows_with(np.diag([5.0, 3.0, 1.0, 1.0]), 100, rng)
    assert Subspace.fit(x, 0.5).dimension == 1
    assert Subspace.fit(x, 0.8).dimension == 2
    assert Subspace.fit(x, 0.81).dimension == 3
    assert Subspace.fit(x, 1.0).dimension == 4
    flat = x[:, :2] @ rng.standard_normal((2, 7))
    assert Subspace.fit(flat).dimension == 2
    np.testing.assert_allclose(Subspace.fit(x, 2).shares, [0.5, 0.3])
    assert Subspace.fit(x, 4).first(2).basis.shape == (4, 2)


def test_rows_come_back_from_coordinates(rng):
    x = rng.standard_normal((40, 3)) @ rng.standard_normal((3, 8)) + 7
    space = Subspace.fit(x)
    assert space.project(x).shape == (40, 3)
    np.testing.assert_allclose(space.reconstruct(space.project(x)), x, atol=1e-10)


def test_captured_about_either_mean(rng):
    space = Subspace(np.zeros(3), np.eye(3)[:, :1], [1.0], 1.0)
    x = rows_with(np.diag([1.0, 2.0, 3.0]), 60, rng) + np.array([0, 0, 3.0])
    assert space.captured(x) == pytest.approx(1 / 6)
    assert space.captured(Moments.of(x), centre="basis") == pytest.approx(1 / (6 + 9))


def test_fit_takes_trajectories(rng):
    x, style, text, writing = planted(rng, styles=2, texts=2)
    table = {name: np.zeros(len(x)) for name in COLUMNS}
    table |= {"style": style, "text": text, "writing": writing}
    traj = Trajectories({"h2": x.astype(np.float32)}, table)
    found = Subspace.fit(traj, 3, style="s1", layer="h2")
    direct = Subspace.fit(x[style == "s1"], 3)
    assert principal_angles(found, direct)[-1] < 1e-3
    both = Subspace.fit(traj, 3, style=["s0", "s1"], layer="h2")
    assert principal_angles(both, Subspace.fit(x, 3))[-1] < 1e-3
    with pytest.raises(ValueError, match="a layer must be named"):
        Subspace.fit(traj, 3, style="s1")
    with pytest.raises(ValueError, match="h2"):
        Subspace.fit(traj, 3, layer="h9")
    with pytest.raises(ValueError, match="Trajectories"):
        Subspace.fit(x, 3, style="s1")


def test_factor_analysis_finds_a_space_that_principal_components_miss(rng):
    # Two shared factors, and one unit whose own noise is larger than both.
    loadings = rng.standard_normal((10, 2))
    noise = np.r_[6.0, np.full(9, 0.4)]
    x = rng.standard_normal((20_000, 2)) @ loadings.T + noise * rng.standard_normal((20_000, 10))
    found = Subspace.fit(x, 2, method="fa")
    assert principal_angles(found, loadings)[-1] < 3
    assert principal_angles(Subspace.fit(x, 2), loadings)[-1] > 30
    np.testing.assert_allclose(found.variances, (x @ found.basis).var(axis=0), rtol=1e-9)


def test_factor_analysis_is_that_of_scikit_learn(rng):
    from sklearn.decomposition import FactorAnalysis

    noise = 0.5 * rng.standard_normal((300, 6))
    x = rng.standard_normal((300, 2)) @ rng.standard_normal((2, 6)) + noise
    direct = FactorAnalysis(2, tol=1e-4, max_iter=5000, svd_method="lapack").fit(x)
    found = Subspace.fit(Moments.of(x), 2, method="fa")
    assert principal_angles(found, direct.components_.T)[-1] < 0.5
    assert found.method == "fa"


def test_gaussian_process_factors_find_the_planted_space(rng, capsys):
    pytest.importorskip("elephant")
    units, steps = 15, 40
    loadings = rotation(units)[:, :2] * [3.0, 2.0]
    time = np.arange(steps)
    kernel = np.exp(-0.5 * ((time[:, None] - time) / 6.0) ** 2) + 1e-6 * np.eye(steps)
    root = np.linalg.cholesky(kernel)
    trials = []
    for _ in range(20):
        factors = root @ rng.standard_normal((steps, 2))
        trials.append(factors @ loadings.T + 0.25 * rng.standard_normal((steps, units)) + 1)
    found = Subspace.fit(trials, 2, method="gpfa", iterations=30)
    assert principal_angles(found, loadings)[-1] < 2
    assert abs(found.basis[:, 0] @ loadings[:, 0]) / 3 > 0.9
    # Nothing but the space is left of it: no prints, no state of the global generator.
    assert capsys.readouterr().out == ""
    np.testing.assert_array_equal(
        found.basis, Subspace.fit(trials, 2, method="gpfa", iterations=30).basis
    )


def test_subspace_errors(rng, monkeypatch):
    x = rng.standard_normal((30, 4))
    for wrong in (0, 5, -1):
        with pytest.raises(ValueError, match="1 to 4"):
            Subspace.fit(x, wrong)
    for wrong in (0.0, 1.5):
        with pytest.raises(ValueError, match="share"):
            Subspace.fit(x, wrong)
    with pytest.raises(ValueError, match="whole number"):
        Subspace.fit(x, True)
    with pytest.raises(ValueError, match="fa needs dimension as a whole number"):
        Subspace.fit(x, 0.5, method="fa")
    with pytest.raises(ValueError, match="pca, fa, gpfa"):
        Subspace.fit(x, 2, method="ica")
    with pytest.raises(ValueError, match="does not vary"):
        Subspace.fit(np.ones((5, 2)), 1)
    with pytest.raises(ValueError, match="same number of units"):
        Subspace.fit([x, x[:, :2]], 1)
    with pytest.raises(ValueError, match="unit 2"):
        Subspace.fit(x * [1, 1, 0, 1], 1, method="fa")
    with pytest.raises(ValueError, match="not moments"):
        Subspace.fit(Moments.of(x), 2, method="gpfa")
    space = Subspace.fit(x, 2)
    with pytest.raises(ValueError, match="4 units"):
        space.project(x[:, :3])
    with pytest.raises(ValueError, match="4 units"):
        space.captured(x[:, :3])
    with pytest.raises(ValueError, match="2 columns"):
        space.reconstruct(x)
    with pytest.raises(ValueError, match="centre"):
        space.captured(x, centre="none")
    with pytest.raises(ValueError, match="1 to 2"):
        space.first(3)
    with pytest.raises(ValueError, match="orthonormal"):
        Subspace(np.zeros(2), np.ones((2, 1)), [1.0], 1.0)
    with pytest.raises(ValueError, match=r"mean \(N,\)"):
        Subspace(np.zeros(3), np.eye(2), [1.0, 1.0], 1.0)
    monkeypatch.setitem(sys.modules, "elephant.gpfa", None)
    monkeypatch.delitem(sys.modules, "elephant.gpfa.gpfa_core", raising=False)
    with pytest.raises(ValueError, match=r"handtraj\[analysis\]"):
        Subspace.fit([x], 2, method="gpfa")


# Measures


@pytest.mark.parametrize("degrees", [0.0, 0.01, 30.0, 89.0, 90.0])
def test_constructed_angle(degrees):
    units = rotation(7)
    a = np.radians(degrees)
    one = units[:, :2]
    other = np.column_stack(
        [units[:, 0], np.cos(a) * units[:, 1] + np.sin(a) * units[:, 2]]
    ) @ np.array([[2.0, 1.0], [0.0, 3.0]])
    np.testing.assert_allclose(principal_angles(one, other), [0, degrees], atol=2e-6)
    np.testing.assert_allclose(principal_angles(other[:, :1], one), [0], atol=2e-6)


def test_participation_ratio_has_closed_forms(rng):
    assert participation_ratio(np.r_[np.full(5, 2.0), np.zeros(3)]) == pytest.approx(5)
    assert participation_ratio([3.0, 1.0]) == pytest.approx(16 / 10)
    turn = rotation(6)
    x = rows_with(turn @ np.diag([4.0, 2.0, 1.0, 1.0, 1.0, 1.0]) @ turn.T, 50, rng)
    assert participation_ratio(x) == pytest.approx(100 / 24)
    assert participation_ratio(Moments.of(x)) == pytest.approx(100 / 24)
    with pytest.raises(ValueError, match="not negative"):
        participation_ratio([1.0, -1.0])
    with pytest.raises(ValueError, match="does not vary"):
        participation_ratio(np.zeros(3))


def test_alignment_index_of_same_other_and_no_direction(rng):
    turn = rotation(8)
    x = rows_with(turn @ np.diag([4.0, 3, 2, 1, 1, 1, 1, 0.5]) @ turn.T, 100, rng)
    assert alignment_index(x, Subspace.fit(x, 3)) == pytest.approx(1)
    assert alignment_index(x + 5, turn[:, [0, 3]]) == pytest.approx(5 / 7)
    assert alignment_index(Moments.of(x), turn[:, [6, 7]]) == pytest.approx(1.5 / 7)
    # What an own top-D basis holds of round states is what any holds: D / N of all of it.
    round_states = rows_with(np.eye(8), 100, rng)
    assert alignment_index(round_states, rotation(8, 1)[:, :3]) == pytest.approx(1)
    assert Subspace(np.zeros(8), turn[:, :3], np.ones(3), 8.0).captured(
        round_states
    ) == pytest.approx(3 / 8)
    with pytest.raises(ValueError, match="orthonormal"):
        alignment_index(x, np.ones((8, 1)))
    with pytest.raises(ValueError, match="does not vary"):
        alignment_index(np.ones((4, 8)), turn[:, :1])


def test_alignment_with_a_random_space_of_isotropic_data_has_its_floor(rng):
    # A planted plane in 20 dimensions, and random planes: 2 / 20 of it on average.
    x = rows_with(np.diag(np.r_[1.0, 1.0, np.full(18, 1e-9)]), 60, rng)
    found = random_subspaces([x], 2, covariance=np.eye(20), draws=3000, generator=rng)
    assert found.shape == (3000, 1)
    assert found.mean() == pytest.approx(2 / 20, abs=0.005)


def test_captured_matrix_by_hand(rng):
    groups = [
        rows_with(np.diag([4.0, 2.0, 1.0]), 40, rng),
        rows_with(np.diag([1.0, 2.0, 4.0]), 40, rng) + 3,
    ]
    np.testing.assert_allclose(captured_matrix(groups, 1), np.array([[4, 1], [1, 4]]) / 7)
    own = captured_matrix(groups, [1, 2, 3], relative="own")
    np.testing.assert_allclose(own[0, 1], [1 / 4, 3 / 6, 1])
    np.testing.assert_allclose(own[1, 1], 1)
    assert own[0, 1, 1] == pytest.approx(alignment_index(groups[0], Subspace.fit(groups[1], 2)))
    other = captured_matrix(groups, 1, bases_of=groups[:1])
    np.testing.assert_allclose(other, np.array([[4], [1]]) / 7)
    with pytest.raises(ValueError, match="relative"):
        captured_matrix(groups, 1, relative="half")
    for wrong in (0, 4, 1.5, []):
        with pytest.raises(ValueError, match="whole numbers from 1 to 3"):
            captured_matrix(groups, wrong)
    with pytest.raises(ValueError, match="group 1 does not vary"):
        captured_matrix([groups[0], np.ones((4, 3))], 1)
    with pytest.raises(ValueError, match="same N"):
        captured_matrix([groups[0], np.ones((4, 2))], 1)
    with pytest.raises(ValueError, match="stack"):
        captured_matrix(Moments.of(groups[0]), 1)


def test_held_out_curve_by_hand(rng):
    train = rows_with(np.diag([4.0, 2.0, 1.0]), 40, rng)
    test = rows_with(np.diag([1.0, 5.0, 4.0]), 40, rng) + 2
    np.testing.assert_allclose(held_out_curve(train, test, [1, 2, 3]), [0.1, 0.6, 1.0])
    with pytest.raises(ValueError, match="same units"):
        held_out_curve(train, test[:, :2], [1])
    with pytest.raises(ValueError, match="test rows do not vary"):
        held_out_curve(train, np.ones((5, 3)), [1])


# Nulls


def test_halves_of_a_style_against_other_styles_and_shuffled_ones(rng):
    x, style, text, writing = planted(rng)
    _, stack = moments_by(x, writing)
    styles, texts = per_writing(style, writing), per_writing(text, writing)
    options = {"texts": texts, "draws": 8, "generator": rng}
    halves = split_half(stack, styles, 3, **options)
    assert halves.shape == (8, 3, 3)
    diagonal = halves[:, range(3), range(3)]
    between = halves[:, ~np.eye(3, dtype=bool)]
    assert diagonal.min() > 0.95
    assert between.max() < 0.7
    floor = shuffled(stack, styles, 3, **options)
    gap = floor[:, range(3), range(3)].mean(axis=1) - floor[:, ~np.eye(3, dtype=bool)].mean(axis=1)
    assert abs(gap.mean()) < 0.1
    several = split_half(stack, styles, [3, 12], draws=2, generator=rng)
    assert several.shape == (2, 3, 3, 2)
    np.testing.assert_allclose(several[..., 1], 1)


def test_where_styles_share_a_space_nothing_is_found(rng):
    x, style, _, writing = planted(rng, shared=True)
    _, stack = moments_by(x, writing)
    found = split_half(stack, per_writing(style, writing), 3, draws=5, generator=rng)
    assert found.min() > 0.97


def test_split_half_is_alignment_of_rows(rng):
    x, style, text, writing = planted(rng, styles=2, texts=2, repeats=1)
    _, stack = moments_by(x, writing)
    found = split_half(
        stack,
        per_writing(style, writing),
        2,
        texts=per_writing(text, writing),
        draws=1,
        generator=rng,
    )[0]

    def index(a, b):
        rows = [x[(style == s) & (text == t)] for s, t in (a, b)]
        return alignment_index(rows[0], Subspace.fit(rows[1], 2))

    one, other = ("s0", "t0"), ("s0", "t1")
    assert found[0, 0] == pytest.approx((index(one, other) + index(other, one)) / 2)
    pairs = [(("s0", t), ("s1", u)) for t, u in (("t0", "t1"), ("t1", "t0"))]
    assert found[0, 1] == pytest.approx(np.mean([index(a, b) for a, b in pairs]))


def test_random_subspaces_follow_the_covariance(rng):
    # One dimension: v = S^½ z / |S^½ z| captures tr S² / tr S on average where S is broad.
    values = np.linspace(1, 3, 200)
    x = rows_with(np.diag(values), 400, rng)
    found = random_subspaces([x], 1, draws=400, generator=rng)
    assert found.mean() == pytest.approx((values**2).sum() / values.sum() / values.max(), rel=0.01)
    basis = random_basis(np.diag(values), 5, generator=rng)
    np.testing.assert_allclose(basis.T @ basis, np.eye(5), atol=1e-12)
    inside = random_basis(np.diag([1.0, 1.0, 0, 0]), 2, generator=rng)
    np.testing.assert_allclose(inside[2:], 0, atol=1e-12)
    several = random_subspaces([x, 2 * x], [1, 200], draws=3, generator=rng)
    assert several.shape == (3, 2, 2)
    np.testing.assert_allclose(several[..., 1], 1)
    np.testing.assert_allclose(several[:, 0], several[:, 1])


def test_a_different_mean_is_no_different_space(rng):
    x, style, _, writing = planted(rng, shared=True)
    styles = per_writing(style, writing)
    away = rotation(12)[:, 11] * 6
    moved = x + np.where(style == "s1", 1.0, 0.0)[:, None] * away
    found = mean_against_space(moments_by(moved, writing)[1], styles, 3, draws=50, generator=rng)
    # By hand: a third of the rows lies 6 away along one column.
    means = np.array([moved[style == s].mean(axis=0) for s in ("s0", "s1", "s2")])
    between = ((means - means.mean(axis=0)) ** 2).sum(axis=1).mean()
    assert found.between == pytest.approx(between / moved.var(axis=0).sum())
    assert found.between > 0.2
    assert np.quantile(found.between_null, 0.95) < found.between
    assert found.inside < 0.1
    assert found.alignment.min() > 0.97
    assert found.about_own.min() > 0.9
    # The step of 6² lies outside a space that holds 3² + 2² + 1.5² = 15.25.
    space = Subspace.fit(x[style == "s0"], 3)
    direct = space.captured(moved[style == "s1"], centre="basis")
    assert found.about_other[1, 0] == pytest.approx(direct)
    assert direct < 0.4
    inside = x + np.where(style == "s1", 1.0, 0.0)[:, None] * rotation(12)[:, 0] * 6
    found = mean_against_space(moments_by(inside, writing)[1], styles, 3)
    assert found.inside > 0.9
    assert len(found.between_null) == 0


def test_a_different_space_is_no_different_mean(rng):
    x, style, _, writing = planted(rng)
    found = mean_against_space(
        moments_by(x, writing)[1], per_writing(style, writing), 3, draws=200, generator=rng
    )
    assert found.between < np.quantile(found.between_null, 0.999)
    assert found.alignment[~np.eye(3, dtype=bool)].max() < 0.7


def test_labels_are_shuffled_within_blocks(rng):
    labels = np.array([0, 1, 0, 1, 2, 3])
    text = [0, 0, 1, 1, 2, 2]
    for _ in range(5):
        new = permute_within(labels, text, generator=rng)
        for t in range(3):
            assert sorted(new[2 * t : 2 * t + 2]) == sorted(labels[2 * t : 2 * t + 2])
    assert {tuple(permute_within(labels, text, generator=rng)) for _ in range(200)} == {
        (*a, *b, *c) for a in ((0, 1), (1, 0)) for b in ((0, 1), (1, 0)) for c in ((2, 3), (3, 2))
    }
    with pytest.raises(ValueError, match="nothing to shuffle"):
        permute_within(labels, labels, generator=rng)


def test_null_errors(rng):
    x, style, text, writing = planted(rng, styles=2, texts=2, repeats=1, steps=10)
    _, stack = moments_by(x, writing)
    styles, texts = per_writing(style, writing), per_writing(text, writing)
    with pytest.raises(ValueError, match="style a has one writing"):
        split_half(stack, ["a", "b", "b", "b"], 2, generator=rng)
    with pytest.raises(ValueError, match="texts in one half only"):
        split_half(stack, styles, 2, texts=["t", "t", "u", "v"], generator=rng)
    with pytest.raises(ValueError, match="one a writing"):
        split_half(x, styles, 2, generator=rng)
    with pytest.raises(ValueError, match="draws"):
        shuffled(stack, styles, 2, draws=0, generator=rng)
    with pytest.raises(ValueError, match="nothing to shuffle"):
        shuffled(stack, styles, 2, strata=styles, generator=rng)
    with pytest.raises(ValueError, match="4 writings need as many labels"):
        shuffled(stack, styles, 2, texts=texts[:2], generator=rng)
    with pytest.raises(ValueError, match="two groups or more"):
        mean_against_space(stack, ["a"] * 4, 2)
    with pytest.raises(ValueError, match="needs a generator"):
        mean_against_space(stack, styles, 2, draws=5)
    with pytest.raises(ValueError, match="symmetric"):
        random_basis(np.ones((2, 3)), 1, generator=rng)
    with pytest.raises(ValueError, match="positive eigenvalue"):
        random_basis(np.zeros((2, 2)), 1, generator=rng)
    with pytest.raises(ValueError, match="draws"):
        random_subspaces(stack, 2, draws=0, generator=rng)


def test_reprs_are_short(rng):
    x = np.diag([2.0, 1.0])[[0, 0, 1, 1]]
    assert repr(moments_by(x, [0, 1, 0, 1])[1]) == "Moments(2 sets, 4 rows, 2 units)"
    assert repr(Subspace.fit(x, 1)) == "Subspace(1 of 2 dimensions by pca, 1 of the variance)"


def test_public_names_are_there():
    assert all(hasattr(subspaces, name) for name in subspaces.__all__)
