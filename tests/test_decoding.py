"""Splits that leak nothing; decoders against scikit-learn, planted means and planted spreads."""

import json

import numpy as np
import pytest
from scipy.stats import multivariate_normal, ortho_group
from sklearn.covariance import oas as sklearn_oas
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.neighbors import NearestCentroid

from handtraj.decoding import Decoding, GroupedSplit, check_split, decode, within
from handtraj.decoding.models import Covariances, oas
from handtraj.subspaces import Subspace, moments_by


@pytest.fixture
def rng():
    return np.random.default_rng(0)


def made(rng, styles=4, texts=4, repeats=3, steps=30, units=6, mean=0.0, turn=False, shift=0.0):
    """Writings with planted style means, style spreads, and means of each writing's own."""
    spread = np.r_[2.0, 1.5, np.full(units - 2, 0.3)]
    x, table = [], []
    for s in range(styles):
        place = np.random.default_rng(100 + s).standard_normal(units) * mean
        basis = ortho_group.rvs(units, random_state=s if turn else 0)
        for t in range(texts):
            for _ in range(repeats):
                own = shift * rng.standard_normal(units)
                x.append((rng.standard_normal((steps, units)) * spread) @ basis.T + place + own)
                table += [(f"s{s}", f"t{t}", len(x) - 1)] * steps
    names = (np.array(n) for n in zip(*table, strict=True))
    return np.concatenate(x), *names


# Splits


def test_no_text_and_no_writing_is_on_both_sides(rng):
    _, style, text, writing = made(rng, texts=5)
    order = rng.permutation(len(text))
    text, writing = text[order], writing[order]
    tested = []
    for train, test in GroupedSplit(3).split(text, writing, labels=style[order]):
        assert not set(text[train]) & set(text[test])
        assert not set(writing[train]) & set(writing[test])
        assert len(train) + len(test) == len(text)
        tested.append(test)
    assert sorted(np.concatenate(tested)) == list(range(len(text)))


def test_rows_hang_together_through_any_group():
    # Rows 0 and 1 share a writing, 1 and 2 a text: all three stay together.
    text = np.array(["a", "b", "b", "c", "d"])
    writing = np.array([0, 0, 1, 2, 3])
    fold = GroupedSplit(2).assign(text, writing)
    assert fold[0] == fold[1] == fold[2] != fold[3] == fold[4]
    with pytest.raises(ValueError, match="4 folds need as many sets"):
        GroupedSplit(4).assign(text, writing)


def test_folds_share_out_labels():
    label = np.repeat(["a", "b"], 4)
    fold = GroupedSplit(2).assign(np.arange(8), labels=label)
    assert [np.bincount(fold[label == k]).tolist() for k in "ab"] == [[2, 2], [2, 2]]


def test_planted_leaks_are_named():
    text, writing = np.array(["a", "a", "b", "b"]), np.array([1, 2, 3, 4])
    check_split([0, 1], [2, 3], text, writing)
    check_split(np.array([True, True, False, False]), [2, 3], text, writing)
    with pytest.raises(ValueError, match=r"text a is on both sides \(1 in all\)"):
        check_split([0, 2], [1], text, writing)
    with pytest.raises(ValueError, match="writing 7 is on both sides"):
        check_split([0], [2], text, [7, 7, 7, 7])
    with pytest.raises(ValueError, match="group 2 x is on both sides"):
        check_split([0], [2], text, writing, ["x", "x", "x", "x"])
    with pytest.raises(ValueError, match="row 1 is on both sides"):
        check_split([0, 1], [1, 2], text)
    with pytest.raises(ValueError, match="one side empty"):
        check_split([0, 1], [], text)
    with pytest.raises(ValueError, match="one value a row"):
        check_split([0], [3], text[:2])
    with pytest.raises(ValueError, match="mask or row numbers"):
        check_split([0.5], [3], text)
    with pytest.raises(ValueError, match="0 or more"):
        check_split([-1], [3], text)
    for wrong in (1, 2.5, True):
        with pytest.raises(ValueError, match="whole number of 2 or more"):
            GroupedSplit(wrong)
    with pytest.raises(ValueError, match="needs groups"):
        GroupedSplit(2).assign()


# Decoders against others


def test_shrinkage_is_that_of_scikit_learn(rng):
    # It leaves out terms of 2 / units, which matter for few units only.
    for rows in (100, 2000):
        x = rng.standard_normal((rows, 200)) * np.linspace(1, 4, 200)
        direct = sklearn_oas(x, assume_centered=True)[1]
        assert oas(x.T @ x / rows, rows) == pytest.approx(direct, rel=0.01)
    # Chen et al. (2010), equation 23, by hand: squares 5, trace 3, two units, nine rows.
    assert oas(np.diag([2.0, 1.0]), 9) == 1
    assert oas(np.diag([2.0, 1.0]), 99) == pytest.approx(9 / (99 * 0.5))
    assert oas(np.eye(3), 10) == 1


@pytest.mark.parametrize("shrinkage", [0.0, 0.3])
def test_linear_is_that_of_scikit_learn(rng, shrinkage):
    x, style, text, writing = made(rng, mean=0.2)
    x += 50
    found = decode(x, style, text, writing, shrinkage=shrinkage, generator=rng)
    guess = np.empty(len(x), dtype=style.dtype)
    for t in np.unique(text):
        train, test = text != t, text == t
        # Its shrinkage is of standardised columns; the covariance is given whole instead.
        own = np.concatenate(
            [x[train & (style == s)] - x[train & (style == s)].mean(axis=0) for s in set(style)]
        )
        whole = own.T @ own / (len(own) - 4)
        whole = (1 - shrinkage) * whole + shrinkage * np.trace(whole) / 6 * np.eye(6)
        model = LinearDiscriminantAnalysis(
            solver="lsqr", priors=[0.25] * 4, covariance_estimator=Fixed(whole)
        )
        guess[test] = model.fit(x[train], style[train]).predict(x[test])
    assert np.mean((guess == style) == found.right) > 0.999
    assert 0.4 < found.accuracy < 0.95
    assert found.accuracy == pytest.approx(np.mean(guess == style), abs=1e-3)


class Fixed:
    """A covariance estimator that knows the answer."""

    def __init__(self, covariance):
        self.covariance_ = covariance

    def fit(self, x):
        return self


def test_nearest_mean_is_that_of_scikit_learn(rng):
    x, style, text, writing = made(rng, mean=0.3, shift=0.3)
    found = decode(x, style, text, writing, method="nearest_mean", generator=rng)
    means = np.array([x[writing == w].mean(axis=0) for w in np.unique(writing)])
    first = np.unique(writing, return_index=True)[1]
    guess = np.empty(len(means), dtype=style.dtype)
    for t in np.unique(text):
        train, test = text[first] != t, text[first] == t
        guess[test] = NearestCentroid().fit(means[train], style[first][train]).predict(means[test])
    np.testing.assert_array_equal(found.right, guess == style[first])
    np.testing.assert_array_equal(found.units, first)
    assert found.n == len(means)
    assert (found.method, found.pool) == ("nearest_mean", "writing")


def test_covariance_scores_by_hand(rng):
    x, style, text, writing = made(rng, styles=2, texts=2, repeats=1, turn=True, mean=3.0)
    label, fold = np.array([0, 0, 1, 1]), np.array([0, 1, 0, 1])
    own = np.concatenate([x[writing == w] - x[writing == w].mean(axis=0) for w in range(4)])

    def covariance(s, t):
        rows = own[(style == f"s{s}") & (text == f"t{t}")]
        return rows.T @ rows / len(rows)

    options = {"dimension": 2, "shrinkage": 0.25}
    quadratic = Covariances.of(x, writing, fold, "quadratic", **options).scores(label, 2)
    captured = Covariances.of(x, writing, fold, "captured", **options).scores(label, 2)
    for w, (s, t) in enumerate([(0, 0), (0, 1), (1, 0), (1, 1)]):
        pooled = (covariance(0, 1 - t) + covariance(1, 1 - t)) / 2
        for k in range(2):
            shrunk = 0.75 * covariance(k, 1 - t) + 0.25 * pooled
            rows = own[writing == w]
            density = multivariate_normal(np.zeros(6), shrunk).logpdf(rows).mean()
            offset = 3 * np.log(2 * np.pi)
            assert quadratic[w, k] == pytest.approx(density + offset, rel=1e-4)
            space = Subspace.fit(x[(style == f"s{k}") & (text == f"t{1 - t}")], 2)
            assert captured[w, k] == pytest.approx(space.captured(x[writing == w]))
        assert covariance(s, t).shape == (6, 6)


# What was planted


def test_linear_finds_planted_means(rng):
    x, style, text, writing = made(rng, mean=1.0)
    state = decode(x, style, text, writing, permutations=20, generator=rng)
    assert state.accuracy > 0.8
    assert state.interval[0] < state.accuracy < state.interval[1]
    assert (state.chance, state.n, state.pool) == (0.25, len(x), "state")
    assert state.p == pytest.approx(1 / 21)
    whole = decode(x, style, text, writing, pool="writing", generator=rng)
    assert whole.accuracy == 1
    np.testing.assert_array_equal(whole.confusion, 12 * np.eye(4))
    assert whole.p is None
    single = decode(x.astype(np.float32), style, text, writing, generator=rng)
    assert single.accuracy == pytest.approx(state.accuracy, abs=1e-3)


@pytest.mark.parametrize("score", ["quadratic", "captured"])
def test_covariance_finds_spreads_where_means_are_equal(rng, score):
    x, style, text, writing = made(rng, turn=True, shift=2.0)
    found = decode(
        x,
        style,
        text,
        writing,
        method="covariance",
        score=score,
        dimension=2,
        permutations=20,
        generator=rng,
    )
    assert found.accuracy > 0.95
    assert found.p == pytest.approx(1 / 21)
    assert found.permuted.mean() == pytest.approx(0.25, abs=0.08)
    assert found.method == f"covariance {score}"
    for pool in ("state", "writing"):
        linear = decode(x, style, text, writing, pool=pool, permutations=20, generator=rng)
        assert linear.interval[0] < 0.25 < linear.interval[1]
        assert linear.p > 0.05


def test_covariance_sees_no_means(rng):
    found = []
    for _ in range(8):
        x, style, text, writing = made(rng, mean=5.0)
        one = decode(x, style, text, writing, method="covariance", generator=rng)
        found.append(one.accuracy)
    # 8 x 48 writings: a standard deviation of 0.022 about chance.
    assert np.mean(found) == pytest.approx(0.25, abs=0.066)
    moved = x + 7 * rng.standard_normal((48, 6))[writing]
    again = decode(moved, style, text, writing, method="covariance", generator=rng)
    np.testing.assert_array_equal(one.right, again.right)


@pytest.mark.parametrize("method", ["linear", "nearest_mean", "covariance"])
def test_shuffled_labels_are_at_chance(rng, method):
    x, style, text, writing = made(rng, repeats=4, mean=2.0, turn=True, shift=0.5)
    first = np.unique(writing, return_index=True)[1]
    inside = []
    for _ in range(6):
        new = style[first].copy()
        for t in np.unique(text):
            at = np.flatnonzero(text[first] == t)
            new[at] = new[rng.permutation(at)]
        found = decode(x, new[writing], text, writing, method=method, generator=rng)
        inside.append(found.interval[0] <= found.chance <= found.interval[1])
    assert sum(inside) >= 5


def test_p_is_even_where_there_is_nothing(rng):
    found = []
    for _ in range(40):
        x, style, text, writing = made(rng, texts=3, repeats=2, steps=5, shift=0.5)
        result = decode(
            x, style, text, writing, folds=3, pool="writing", permutations=19, generator=rng
        )
        found.append(result.p)
    assert 0.3 < np.mean(found) < 0.75
    assert np.mean(np.array(found) <= 0.25) < 0.5


# Within a source


def test_candidates_within_a_stratum():
    classes, allowed = within(["a", "b", "c", "a"], ["x", "x", "y", "x"])
    assert classes.tolist() == ["a", "b", "c"]
    assert allowed.tolist() == [[1, 1, 0], [1, 1, 0], [0, 0, 1], [1, 1, 0]]
    assert within(["a", "b"])[1].all()
    with pytest.raises(ValueError, match="2 items need as many labels"):
        within(["a", "b"], ["x"])


def test_what_tells_sources_tells_nothing_within_one(rng):
    # Styles 0, 1 and 2 come from one tablet, 3 and 4 from another, 5 alone from a third.
    x, style, text, writing = made(rng, styles=6, shift=0.2)
    number = np.array([int(s[1:]) for s in style])
    source = np.array([0, 0, 0, 1, 1, 2])[number]
    x = x + 6 * np.eye(6)[source]
    free = decode(x, style, text, writing, pool="writing", generator=rng)
    assert free.chance == pytest.approx(1 / 6)
    assert free.interval[0] > free.chance
    bound = decode(
        x,
        style,
        text,
        writing,
        pool="writing",
        strata=source,
        permutations=30,
        generator=rng,
    )
    # 36 writings with three candidates, 24 with two; those with one are left out.
    assert bound.n == 60
    assert bound.chance == pytest.approx((36 / 3 + 24 / 2) / 60)
    assert bound.interval[0] < bound.chance < bound.interval[1]
    assert bound.p > 0.05
    assert bound.confusion[:3, 3:].sum() == bound.confusion[3:, :3].sum() == 0
    assert bound.confusion[5].sum() == 0
    # A mean of its own within the source is found within the source.
    own = x + 2 * np.eye(6)[number]
    found = decode(own, style, text, writing, pool="writing", strata=source, generator=rng)
    assert found.accuracy > 0.95
    with pytest.raises(ValueError, match="one label only"):
        decode(x, style, text, writing, strata=number, generator=rng)


# What comes back


def test_report_is_of_the_units_named(rng):
    x, style, text, writing = made(rng, mean=0.5)
    found = decode(x, style, text, writing, over="text", permutations=3, generator=rng)
    assert isinstance(found, Decoding)
    assert found.confusion.sum() == found.n == len(found.right) == len(found.units)
    assert np.trace(found.confusion) / found.n == pytest.approx(found.accuracy)
    assert found.right.mean() == pytest.approx(found.accuracy)
    shares = [found.right[text == t].mean() for t in np.unique(text)]
    assert min(shares) <= found.interval[0] <= found.interval[1] <= max(shares)
    document = json.loads(json.dumps(found.as_dict()))
    assert document["classes"] == ["s0", "s1", "s2", "s3"]
    assert len(document["permuted"]) == 3
    assert "chance 0.25" in str(found)


def test_order_of_rows_does_not_matter(rng):
    x, style, text, writing = made(rng, mean=0.4)
    order = rng.permutation(len(x))
    for method in ("linear", "covariance"):
        one = decode(x, style, text, writing, method=method, generator=rng)
        parts = (a[order] for a in (x, style, text, writing))
        other = decode(*parts, method=method, generator=rng)
        np.testing.assert_array_equal(one.confusion, other.confusion)


def test_no_pass_over_rows_is_needed_for_spreads(rng):
    x, _, _, writing = made(rng, mean=4.0)
    stack = moments_by(x, writing)[1].centred()
    direct = np.cov(x[writing == 5].T, bias=True)
    np.testing.assert_allclose(stack.covariance[5], direct, atol=1e-10)


def test_decoding_errors(rng):
    x, style, text, writing = made(rng, styles=2, texts=4, repeats=1, steps=4)

    def fails(match, x=x, style=style, text=text, writing=writing, **options):
        with pytest.raises(ValueError, match=match):
            decode(x, style, text, writing, generator=rng, **options)

    fails("shape", x=x[:, 0])
    fails("32 rows need as many labels", style=style[:5])
    fails("NaN or infinity", x=np.where(np.arange(32)[:, None] == 3, np.nan, x))
    fails(
        "NaN or infinity", x=np.where(np.arange(32)[:, None] == 3, np.nan, x), method="covariance"
    )
    fails("two labels or more, got 1", style=np.full(32, "a"))
    fails("label s1 has one writing only", writing=np.where(style == "s1", 99, writing), text=style)
    fails("writing 0 has more than one label", writing=np.zeros(32, dtype=int))
    fails("writing 0 has more than one text", writing=np.where(style == "s0", 0, writing))
    fails("shares no text with another", text=np.char.add(text, style))
    fails("5 folds need as many sets", folds=5)
    fails("method must be one of linear, nearest_mean, covariance", method="svm")
    fails("pool must be", pool="letter")
    fails("score must be", method="covariance", score="best")
    fails("over must be", over="style")
    fails("no covariance", method="covariance", pool="state")
    fails(r"shrinkage must be in \[0, 1\]", shrinkage=2)
    fails("permutations must be 0 or more", permutations=-1)
    fails("dimension must be 1 to 6", method="covariance", score="captured", dimension=7)
    fails("more than one stratum", strata=np.arange(32))
    # Style s1 wrote texts of one fold only.
    few = (style == "s0") | np.isin(text, ["t0", "t1"])
    same = np.where((style == "s1") & (text == "t1"), "t0", text)
    fails(
        "label s1 is not on the training side",
        x=x[few],
        style=style[few],
        text=same[few],
        writing=writing[few],
    )


def test_texts_of_ones_own_are_allowed_where_said(rng):
    x, style, text, writing = made(rng, mean=2.0)
    own = np.char.add(text, style)
    found = decode(
        x, style, own, writing, crossed=False, pool="writing", permutations=20, generator=rng
    )
    assert found.accuracy > 0.95
    assert found.permuted.mean() < 0.5
