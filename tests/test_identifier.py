"""Line features on known shapes, the identifier against scikit-learn, naming of made-up hands."""

import numpy as np
import pytest
from helpers import small_corpus
from sklearn.covariance import ShrunkCovariance
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from handtraj.corpus import build_corpus
from handtraj.evaluation.identifier import (
    LINE_FEATURES,
    Identifier,
    IdentifierConfig,
    Naming,
    line_features,
)
from handtraj.evaluation.naming import enrol, naming_experiment, real_lines
from handtraj.ink import Ink
from handtraj.sources import Line

SHAPE = LINE_FEATURES["shape"]
BOTH = SHAPE + LINE_FEATURES["timing"]
SIZE = len(BOTH)


def named(ink, name, groups=("shape", "timing")):
    """All numbers of one name."""
    names = [n for g in LINE_FEATURES for n in LINE_FEATURES[g] if g in groups]
    values = line_features(ink, groups)
    return np.array([v for n, v in zip(names, values, strict=True) if n.rsplit("_", 1)[0] == name])


def bars(slant=0.0, gap=0.5, count=6, points=11):
    """Strokes drawn downwards, one x-height high, `gap` apart."""
    down = np.column_stack([np.zeros(points), np.linspace(1, 0, points)])
    down[:, 0] += np.tan(np.radians(slant)) * down[:, 1]
    return Ink.from_strokes([down + np.array([gap * k, 0]) for k in range(count)])


def circle(points=61, radius=1.0, sign=1):
    t = sign * np.linspace(0, 2 * np.pi, points)
    return Ink.from_strokes([radius * np.column_stack([np.cos(t), np.sin(t)])])


def hand(rng, slant, width, speed, length=160):
    """A wave by one writer: shear, stretch and tempo, and some noise."""
    t = np.arange(length) * speed
    y = 0.5 * np.sin(t) + 0.15 * np.sin(2.3 * t + rng.uniform(0, 6))
    x = width * t + slant * y
    xy = np.column_stack([x, y]) + rng.normal(0, 0.02, (length, 2))
    return Ink.from_strokes(np.array_split(xy, 5))


def hands(writers, lines, seed=0, spread=1.0, sources=2):
    """A corpus of waves by writers with hands of their own, half of them by each tablet."""
    rng = np.random.default_rng(seed)
    found = []
    for w in range(writers):
        style = rng.uniform(-1, 1, 3) * spread
        for k in range(lines):
            ink = hand(rng, 0.3 * style[0], 0.3 + 0.08 * style[1], 0.6 + 0.15 * style[2])
            source = f"sea{w % sources}"
            found.append(Line(ink, f"a text that is number {k}", f"s{w:03d}", source, "line", 0.0))
    return build_corpus(found)


def test_every_number_has_a_name():
    ink = bars()
    assert SIZE == len(set(BOTH)) == len(line_features(ink)) == 139
    assert len(SHAPE) == len(line_features(ink, ("shape",))) == 96
    both = line_features(ink)
    np.testing.assert_array_equal(both[:96], line_features(ink, ("shape",)))
    np.testing.assert_array_equal(both[96:], line_features(ink, ("timing",)))


@pytest.mark.parametrize("slant", [-15.0, 0.0, 25.0])
def test_slant_direction_and_gaps_of_slanted_bars(slant):
    ink = bars(slant, gap=2.0)
    np.testing.assert_allclose(named(ink, "slant"), slant, atol=1e-3)
    # Twelve directions of 30 degrees, the ninth centred on "down".
    down = int(np.round((270 - slant) / 30)) % 12
    np.testing.assert_allclose(named(ink, "direction"), np.arange(12) == down, atol=1e-6)
    lean = np.tan(np.radians(abs(slant)))
    np.testing.assert_allclose(named(ink, "gap")[:3], 2.0 - lean, atol=1e-5)
    np.testing.assert_allclose(named(ink, "stroke_height"), 1, atol=1e-5)


def test_circle_turns_evenly_to_one_side():
    """A step of 0.2 on radius 1 turns 11.5 degrees, four steps 46."""
    for sign, turn, bend in ((1, 5, 6), (-1, 3, 2)):
        ink = circle(sign=sign)
        np.testing.assert_allclose(named(ink, "turn"), np.arange(9) == turn)
        np.testing.assert_allclose(named(ink, "bend"), np.arange(9) == bend)


def test_shape_hardly_depends_on_tempo_and_timing_does():
    """The same path in half as many points, and with a pen that speeds up."""
    fine, coarse = circle(121), circle(61)
    t = 2 * np.pi * np.linspace(0, 1, 121) ** 1.5
    uneven = Ink.from_strokes([np.column_stack([np.cos(t), np.sin(t)])])
    wanted = line_features(fine, ("shape",))
    for ink in (coarse, uneven):
        np.testing.assert_allclose(line_features(ink, ("shape",)), wanted, atol=0.2)
    speeds = [np.exp(named(ink, "speed")) - 0.05 for ink in (fine, coarse)]
    np.testing.assert_allclose(speeds[1], 2 * speeds[0], rtol=0.01)
    assert np.ptp(named(uneven, "speed")) > 10 * np.ptp(named(fine, "speed"))


def test_features_of_any_ink_are_finite_and_ignore_its_place():
    rng = np.random.default_rng(0)
    inks = [
        hand(rng, 0.2, 0.3, 0.6),
        Ink.from_strokes([[[k, k % 3]] for k in range(9)]),  # dots
        Ink.from_strokes([np.zeros((9, 2))]),  # a pen at rest
        circle(9, 0.01),
    ]
    for ink in inks:
        assert np.isfinite(line_features(ink)).all()
    moved = Ink.from_strokes([s + np.array([3.0, -2.0]) for s in inks[0].strokes])
    np.testing.assert_allclose(line_features(moved), line_features(inks[0]), atol=1e-4)


def gaussians(writers, lines, seed=0, scatter=1.0):
    """Features of writers who differ by their mean; scatter much wider in some directions."""
    mix = np.linalg.qr(np.random.default_rng(9).normal(size=(SIZE, SIZE)))[0]
    mix = mix * np.geomspace(0.3, 3, SIZE)
    rng = np.random.default_rng(seed)
    means = rng.normal(size=(writers, SIZE)) * 0.7
    who = np.repeat(np.arange(writers), lines)
    return means[who] + scatter * rng.normal(size=(len(who), SIZE)) @ mix.T, [f"w{k}" for k in who]


def test_scores_agree_with_scikit_learn():
    features, who = gaussians(7, 6)
    ask, _ = gaussians(7, 3, seed=1)
    mine = Identifier.fit(features, who, config=IdentifierConfig(shrinkage=0.4))
    model = LinearDiscriminantAnalysis(
        solver="lsqr",
        covariance_estimator=ShrunkCovariance(shrinkage=0.4),
        priors=np.full(7, 1 / 7),
    )
    z = (features - features.mean(0)) / features.std(0)
    model.fit(z, who)
    theirs = model.decision_function((ask - features.mean(0)) / features.std(0))
    scores = mine.scores(ask)
    # Their covariance divides by n, not n - 1: all scores differ by one factor.
    relative = (scores - scores.mean(1, keepdims=True)) * 6 / 5
    np.testing.assert_allclose(
        relative, theirs - theirs.mean(1, keepdims=True), rtol=1e-3, atol=1e-3
    )
    assert mine.name(ask) == list(model.predict((ask - features.mean(0)) / features.std(0)))


def test_background_tells_the_scatter_that_single_lines_cannot():
    """One line a writer: with others' scatter far better than with a sphere."""
    features, who = gaussians(25, 9)
    others, names = gaussians(60, 9, seed=1)
    first = np.arange(0, len(who), 9)
    ask = np.delete(np.arange(len(who)), first)
    asked = [who[i] for i in ask]

    def right(shrinkage):
        fitted = Identifier.fit(
            features[first],
            [who[i] for i in first],
            background=(others + 5, names),
            config=IdentifierConfig(shrinkage=shrinkage),
        )
        return fitted.accuracy(features[ask], asked).right.mean()

    assert right(0.1) > right(1.0) + 0.1
    with pytest.raises(ValueError, match="no writer has two lines"):
        Identifier.fit(features[first], [who[i] for i in first])


def test_within_a_source_only_its_writers_are_candidates():
    features, who = gaussians(6, 5, scatter=0.2)
    sources = ["a" if w in ("w0", "w1", "w2") else "b" if w != "w5" else "c" for w in who]
    fitted = Identifier.fit(features, who, sources)
    assert fitted.name(features[:5], within=["b"] * 5)[0] in ("w3", "w4")
    # Against the mean of w0 alone, candidates of b cannot win.
    scores = fitted.scores(features[:1])[0]
    assert fitted.name(features[:1], within=["b"]) == [f"w{3 + int(scores[4] > scores[3])}"]
    found = fitted.accuracy(features, who, within=sources)
    # The only writer of c leaves nothing to tell.
    assert found.lines.tolist() == list(range(25))
    assert found.candidates.tolist() == [3] * 15 + [2] * 10
    assert found.chance == pytest.approx((15 / 3 + 10 / 2) / 25)
    assert fitted.accuracy(features, who).chance == pytest.approx(1 / 6)


def test_estimate_resamples_writers():
    right = np.array([1, 1, 1, 0, 0, 0], dtype=bool)
    found = Naming(right, np.full(6, 4), tuple("aaabbb"), np.arange(6)).estimate()
    assert (found.value, found.low, found.high, found.n, found.items) == (0.5, 0, 1, 2, 6)


def test_enrolment_keeps_lines_texts_and_sources_apart():
    rng = np.random.default_rng(4)
    lines = []
    for w in range(9):
        for k in range(3 if w == 8 else 12):
            text = (
                f"shared text number {rng.integers(30)}" if k % 2 else f"own text {w:05d} {k:04d}"
            )
            source = "pad" if w % 2 or k < 9 else "pen"
            lines.append(Line(hand(rng, 0, 0.3, 0.6), text, f"s{w:03d}", source, "line", 0.0))
    corpus = build_corpus(lines)
    writers = sorted(set(corpus.writers))
    crowd, asked = writers[:3], writers[3:]
    made = enrol(
        corpus, asked, crowd=crowd, lines_each=3, queries_each=4, generator=np.random.default_rng(1)
    )
    assert made.writers == tuple(asked[:-1])  # the last has three lines only
    sides = [made.enrolled.ravel(), made.primes, made.queries, made.crowd.ravel()]
    every = np.concatenate(sides)
    assert len(set(every.tolist())) == len(every)
    asked_texts = {corpus.texts[i] for i in made.queries}
    assert asked_texts.isdisjoint(corpus.texts[i] for i in np.concatenate([*sides[:2], sides[3]]))
    for writer, row, prime in zip(made.writers, made.enrolled, made.primes, strict=True):
        mine = [i for i in made.queries if corpus.writers[i] == writer]
        assert 1 <= len(mine) <= 4
        assert {corpus.writers[i] for i in [*row, prime]} == {writer}
        assert len({corpus.texts[i] for i in [*row, prime]}) == 4
        assert {corpus.sources[i] for i in [*row, prime, *mine]} == {"pad"}
    assert {corpus.writers[i] for i in made.crowd.ravel()} <= set(crowd)
    again = enrol(
        corpus, asked, crowd=crowd, lines_each=3, queries_each=4, generator=np.random.default_rng(1)
    )
    assert again.queries.tolist() == made.queries.tolist()


def test_hands_that_differ_are_named_and_hands_that_do_not_are_guessed():
    """The instrument finds what was planted, and nothing where nothing was."""
    for spread, low, high in ((1.0, 0.8, 1.0), (0.0, 0.0, 0.3)):
        corpus = hands(10, 12, spread=spread)
        writers = sorted(set(corpus.writers))
        made = naming_experiment(corpus, writers, lines_each=3, queries_each=6)
        assert low <= made.within.estimate().value <= high
        assert made.overall.chance == pytest.approx(0.1)
        assert made.within.chance == pytest.approx(0.2)
        assert len(made.overall.right) == len(made.enrolment.queries) == 60


def test_crowd_are_candidates_but_not_asked():
    corpus = hands(10, 9)
    writers = sorted(set(corpus.writers))
    made = naming_experiment(
        corpus, writers[:4], crowd=writers[4:], background=writers[4:], lines_each=2
    )
    assert made.identifier.writers == tuple(writers)
    assert set(made.overall.writers) == set(writers[:4])
    assert made.overall.chance == pytest.approx(0.1)


def test_real_lines_move_within_a_device_unit():
    corpus = small_corpus(writers=2)
    for index, ink in zip((1, 3), real_lines(corpus, [1, 3]), strict=True):
        shift = np.abs(ink.points - np.cumsum(corpus.offsets(index)[:, :2], axis=0)).max()
        # Against the first point, which is moved as well.
        assert 0 < shift <= 2 * corpus.noise[index] + 1e-5


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda f, w: line_features(bars(), ("colour",)), "shape, timing"),
        (lambda f, w: line_features(bars(), ()), "shape, timing"),
        (lambda f, w: line_features(circle(7)), "at least 8 points, got 7"),
        (lambda f, w: IdentifierConfig(groups=("shape", "shape")), "shape, timing"),
        (lambda f, w: IdentifierConfig(shrinkage=0), r"shrinkage must be in \(0, 1\], got 0"),
        (lambda f, w: Identifier.fit(f, w[:-1]), "20 lines need as many writers, got 19"),
        (lambda f, w: Identifier.fit(f, w, w[:-1]), "20 lines need as many sources"),
        (lambda f, w: Identifier.fit(f[:5], w[:5]), "at least two writers, got 1"),
        (lambda f, w: Identifier.fit(f[:, 1:], w), "139"),
        (lambda f, w: Identifier.fit(f, w).accuracy(f[:1], ["x"]), "'x' is no candidate; enrol"),
        (
            lambda f, w: Identifier.fit(f, w, w).accuracy(f[:1], w[:1], within=["w1"]),
            "of source w1",
        ),
        (lambda f, w: Identifier.fit(f, w, w).name(f[:1], within=["z"]), "of source z"),
        (lambda f, w: Identifier.fit(f, w, w).name(f[:1], within="z"), "as many sources"),
    ],
)
def test_bad_input_is_refused(call, message):
    features, who = gaussians(4, 5)
    with pytest.raises(ValueError, match=message):
        call(features, who)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"lines_each": 0}, "must be >= 1, got 0"),
        ({"lines_each": 12}, "0 of 4 writers have 14 lines"),
        ({"crowd": ["s001"]}, "in the crowd"),
        ({"background": ["s001"]}, "in the background"),
        ({"crowd": "s001"}, "single string"),
    ],
)
def test_bad_experiments_are_refused(options, message):
    corpus = hands(4, 5)
    with pytest.raises(ValueError, match=message):
        naming_experiment(corpus, sorted(set(corpus.writers)), **options)
