"""Bootstrap intervals against scipy, full enumeration, and their promised coverage."""

import itertools
import json

import numpy as np
import pytest
from scipy import stats

from handtraj.evaluation.bootstrap import Estimate, bootstrap, bootstrap_sums, ratio


def enumerated(values, groups, statistic, level=0.95):
    """Percentiles over every possible resample, each counted once."""
    names = list(dict.fromkeys(groups))
    parts = [values[[g == n for g in groups]] for n in names]
    found = [
        statistic(np.concatenate([parts[k] for k in pick]))
        for pick in itertools.product(range(len(names)), repeat=len(names))
    ]
    return np.quantile(found, [(1 - level) / 2, (1 + level) / 2])


def test_one_item_a_group_agrees_with_scipy():
    values = np.random.default_rng(1).exponential(size=40)
    mine = bootstrap(values, draws=40_000)
    theirs = stats.bootstrap(
        (values,), np.mean, n_resamples=40_000, method="percentile", rng=np.random.default_rng(2)
    ).confidence_interval
    width = theirs.high - theirs.low
    assert mine.value == pytest.approx(values.mean())
    assert mine.low == pytest.approx(theirs.low, abs=0.02 * width)
    assert mine.high == pytest.approx(theirs.high, abs=0.02 * width)
    assert (mine.n, mine.items) == (40, 40)


@pytest.mark.parametrize("statistic", [None, np.mean, np.median])
def test_groups_are_drawn_whole_as_in_full_enumeration(statistic):
    rng = np.random.default_rng(3)
    groups = ["a"] * 2 + ["b"] * 7 + ["c"] * 3 + ["d"] * 5
    values = rng.normal(size=17) + np.repeat([0, 3, 1, -2], [2, 7, 3, 5])
    low, high = enumerated(values, groups, statistic or np.mean, level=0.8)
    found = bootstrap(values, groups, statistic, level=0.8, draws=3000)
    # 256 resamples, of which many coincide: the percentiles are steps.
    assert found.low == pytest.approx(low, abs=0.15)
    assert found.high == pytest.approx(high, abs=0.15)
    assert (found.n, found.items) == (4, 17)


def test_rate_is_the_ratio_of_sums_in_every_draw():
    rng = np.random.default_rng(4)
    length = rng.integers(5, 60, 30)
    edits = rng.binomial(length, 0.2)
    groups = rng.integers(0, 6, 30)
    table = np.column_stack([edits, length])
    fast = bootstrap_sums(table, groups, draws=20_000)
    slow = bootstrap(table, groups, lambda t: t[:, 0].sum() / t[:, 1].sum(), draws=4000)
    assert fast.value == edits.sum() / length.sum() == slow.value
    width = fast.high - fast.low
    assert slow.low == pytest.approx(fast.low, abs=0.06 * width)
    assert slow.high == pytest.approx(fast.high, abs=0.06 * width)


def test_ratio_of_two_rates_uses_the_same_writers_in_both():
    """Where every writer's written rate is twice the real one there is no doubt left."""
    rng = np.random.default_rng(5)
    real = rng.integers(1, 20, 24)
    table = np.column_stack([2 * real, np.full(24, 50), real, np.full(24, 50)])
    found = bootstrap_sums(
        table, np.arange(24) // 3, lambda s: ratio(s[..., :2]) / ratio(s[..., 2:])
    )
    assert (found.value, found.low, found.high) == pytest.approx((2, 2, 2))


def coverage(groups, *, studies=250, by_line=False):
    """Share of simulated studies whose interval holds the truth (0)."""
    rng = np.random.default_rng(6)
    lines, hits = 8, 0
    who = np.repeat(np.arange(groups), lines)
    for _ in range(studies):
        values = rng.normal(size=groups)[who] + rng.normal(size=groups * lines)
        units = None if by_line else who
        found = bootstrap(values, units, draws=300, generator=rng)
        hits += found.low <= 0 <= found.high
    return hits / studies


@pytest.mark.parametrize("groups", [6, 20])
def test_coverage_on_clustered_data(groups):
    """For normal group means the resampled spread lacks a factor sqrt(1 - 1 / n)."""
    reach = stats.norm.ppf(0.975) * np.sqrt(1 - 1 / groups)
    expected = 1 - 2 * stats.t.sf(reach, groups - 1)
    assert coverage(groups) == pytest.approx(expected, abs=0.04)


def test_lines_taken_as_independent_promise_too_much():
    assert coverage(20, studies=60, by_line=True) < 0.7


def test_one_group_has_no_interval_and_says_so():
    found = bootstrap([1.0, 2.0, 3.0], ["only"] * 3)
    assert found == Estimate(2.0, None, None, 1, 3)
    assert "no interval" in str(found)
    assert json.loads(json.dumps(found.as_dict())) == {
        "value": 2.0,
        "interval": None,
        "n": 1,
        "items": 3,
    }


def test_same_numbers_twice_and_interval_around_the_value():
    values = np.random.default_rng(7).normal(size=30)
    first, again = bootstrap(values), bootstrap(values)
    assert first == again
    assert first.low < first.value < first.high
    assert first.as_dict()["interval"] == [first.low, first.high]
    other = bootstrap(values, generator=np.random.default_rng(8))
    assert other.low != first.low


def test_draws_without_anything_to_divide_by_are_left_out():
    """Writer b has no characters: draws of b alone have no rate."""
    found = bootstrap_sums([[1, 4], [0, 0]], ["a", "b"])
    assert (found.value, found.low, found.high) == (0.25, 0.25, 0.25)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: bootstrap([]), "no items"),
        (lambda: bootstrap([1, 2], ["a"]), "2 items need as many groups, got 1"),
        (lambda: bootstrap([1, 2], "ab"), "as many groups"),
        (lambda: bootstrap([1, 2], level=95), r"level must be in \(0, 1\), got 95"),
        (lambda: bootstrap([1, 2], draws=0), "draws must be >= 1, got 0"),
        (lambda: bootstrap([[1, 2], [3, 4]]), "bootstrap_sums"),
        (lambda: bootstrap([1, np.nan]), "nan"),
        (lambda: bootstrap_sums([1, 2]), r"shape \(items, k\)"),
        (lambda: bootstrap_sums([[1, 0]]), "inf"),
    ],
)
def test_bad_input_is_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()
