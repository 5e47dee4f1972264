"""The measures of both claims on states whose answer is planted."""

from __future__ import annotations

import numpy as np
import pytest
from helpers import small_checkpoint, small_corpus, wave

from handtraj.evaluation.claims import ink_decoding, ink_of, letter_measures, style_measures
from handtraj.evaluation.following import Judge, rest_of, share_moved
from handtraj.evaluation.networks import choose_hands, network_measures
from handtraj.ink import Ink
from handtraj.trajectories import Trajectories
from handtraj.writing import Writer, Writing

TEXTS = ("abcd dcba", "bdac acbd", "cadb bacd", "dbca cdab")
STYLES = {"a1": "A", "a2": "A", "a3": "A", "b1": "B", "b2": "B", "b3": "B"}
UNITS = 24


def planted(
    apart: float, turned: bool, *, repeats: int = 2, shift: float = 0.0, seed: int = 0
) -> Trajectories:
    """Letters that are the same loops in every style, but for a place and a turn of the space."""
    rng = np.random.default_rng(seed)
    loops = {c: rng.normal(size=(2, UNITS)) for c in "abcd "}
    columns: dict[str, list[object]] = {}
    states, writing = [], 0
    for style in STYLES:
        place = apart * rng.normal(size=UNITS)
        turn = np.linalg.qr(rng.normal(size=(UNITS, UNITS)))[0] if turned else np.eye(UNITS)
        for text in TEXTS:
            for _ in range(repeats):
                for index, character in enumerate(text):
                    phase = np.linspace(0, 1, 10)
                    angle = 2 * np.pi * phase
                    loop = np.column_stack([np.cos(angle), np.sin(angle)]) @ loops[character]
                    states.append(loop @ turn + place + shift + 0.1 * rng.normal(size=(10, UNITS)))
                    row = {"writing": writing, "style": style, "text": text, "index": index}
                    row |= {"character": character, "bias": 0.5, "seed": writing}
                    for name, value in row.items():
                        columns.setdefault(name, []).extend([value] * 10)
                    columns.setdefault("phase", []).extend(phase)
                    columns.setdefault("step", []).extend(range(10 * index, 10 * index + 10))
                columns.setdefault("pen", []).extend([0] * 89 + [1])
                columns.setdefault("dx", []).extend(rng.normal(0.2, 0.1, 90))
                columns.setdefault("dy", []).extend(rng.normal(0, 0.2, 90))
                writing += 1
    table = {name: np.array(values) for name, values in columns.items()}
    return Trajectories({"c1": np.concatenate(states).astype(np.float32)}, table)


def measured(traj: Trajectories) -> dict:
    """Claim one, with few draws."""
    return style_measures(
        traj, "c1", STYLES, draws=9, permutations=19, generator=np.random.default_rng(0)
    )


def test_nothing_planted_is_nothing_found() -> None:
    """Same place, same space: chance, no gap, and no p below the shuffles."""
    found = measured(planted(0, False))
    for name in ("state", "writing mean", "writing covariance"):
        one = found["decoding"][name]
        assert one["chance"] == pytest.approx(1 / 3)
        assert one["p"] > 0.05
    gap = found["alignment"]["raw"]["2"]
    assert gap["apart"]["interval"][0] < 0.01
    assert gap["p"] > 0.05
    assert found["means"]["between"] < 0.01


def test_another_place_is_no_other_space() -> None:
    """Means apart: named from a state, but not from the covariance, and aligned."""
    found = measured(planted(1.0, False))
    assert found["decoding"]["state"]["accuracy"] > 0.95
    assert found["decoding"]["writing covariance"]["p"] > 0.05
    assert found["alignment"]["raw"]["2"]["apart"]["value"] < 0.02
    assert found["means"]["between"] > 0.3


def test_another_space_is_no_other_place() -> None:
    """Turned spaces: the covariance tells styles, the gap is wide, angles are large."""
    found = measured(planted(0, True))
    assert found["decoding"]["writing covariance"]["accuracy"] > 0.95
    gap = found["alignment"]["raw"]["2"]
    assert gap["same"]["value"] > 0.95
    assert gap["apart"]["value"] > 0.3
    assert gap["p"] == pytest.approx(0.1)  # the least that nine shuffles allow
    assert found["angles"]["other within"][0] > found["angles"]["same"][0] + 10
    assert found["means"]["between"] < 0.05


def test_time_course_covers_all_steps() -> None:
    """Every state that was named is in one bin."""
    found = measured(planted(1.0, False))
    assert [row["from"] for row in found["course"]] == [0, 25, 50]
    assert sum(row["items"] for row in found["course"]) == found["decoding"]["state"]["n"]


def test_letters_in_another_place_are_the_same_dynamics() -> None:
    """Far apart as they are; laid over each other, the same letters."""
    found = letter_measures(planted(3.0, False), "c1", splits=2, generator=np.random.default_rng(0))
    assert found["chance"] == 0.25
    assert found["decoding"]["within"]["value"] > 0.95
    assert found["decoding"]["centred"]["value"] > 0.95
    distance = found["distance"]
    assert distance["raw"]["value"] > 2 > distance["mismatched"]["value"] > 1
    assert distance["centred"]["value"] < 0.3
    assert found["variance"]["shares"]["s"] > 0.5


def test_ink_comes_back_from_the_table() -> None:
    """Offsets of every writing, in order."""
    traj = planted(0, False)
    inks = ink_of(traj)
    assert len(inks) == len(traj.writings)
    np.testing.assert_allclose(
        np.concatenate([i.offsets[:, 0] for i in inks]), traj.column("dx"), rtol=1e-6
    )
    found = ink_decoding(
        traj, STYLES, per_writing=2, permutations=9, generator=np.random.default_rng(0)
    )
    assert found["writing"]["p"] > 0.05  # all ink is drawn alike
    assert found["stretch"]["n"] == 2 * len(inks)


def slanted(style: str, text: str, lean: float, seed: int) -> Writing:
    """A wave that leans, as if the window had gone evenly over the text."""
    xy = wave(240, seed).points
    xy = np.column_stack([xy[:, 0] + lean * xy[:, 1], xy[:, 1]])
    ink = Ink.from_strokes([xy[:120], xy[120:]])
    window = np.zeros((240, len(text)), np.float32)
    window[np.arange(240), np.arange(240) * len(text) // 240] = 1
    return Writing(text, ink, window, True, style, 0.5, seed)


LEANS = {"upright": 0.0, "leaning": 0.8, "back": -0.8}


@pytest.fixture(scope="module")
def judge() -> Judge:
    """Three styles, two texts, six lines each."""
    lines = [
        slanted(style, text, lean, seed)
        for style, lean in LEANS.items()
        for text in ("one two", "six ten")
        for seed in range(6)
    ]
    return Judge.fit(lines, dict.fromkeys(LEANS, "sea"))


def test_judge_names_the_hand_of_the_rest(judge: Judge) -> None:
    """Lines it never saw, by what the ink looks like and not by their label."""
    lines = [slanted("upright", "one two", lean, 50 + k) for k, lean in enumerate(LEANS.values())]
    assert judge.name(lines) == list(LEANS)


def test_rest_begins_where_the_word_begins() -> None:
    """The window reaches the fifth of seven characters at four sevenths of 240 points."""
    rest = rest_of(slanted("upright", "one two", 0, 1))
    assert rest is not None
    ink, text = rest
    assert text == "two"
    assert len(ink) == 240 - 138
    assert (ink.offsets[0, :2] == 0).all()
    short = slanted("upright", "one two", 0, 1)
    cut = Ink(short.ink.offsets[:170]), short.window[:170]
    assert rest_of(Writing("one two", *cut, True, "", 0, 0)) is None


def test_share_moved_is_a_slope() -> None:
    """Lines a quarter of the way: one quarter, whatever the size of the step."""
    rng = np.random.default_rng(0)
    old, new = rng.normal(size=(2, 20, 6))
    moves = np.stack([old + 0.25 * (new - old), old, new], axis=-1)
    found = share_moved(moves, [str(i % 5) for i in range(20)], draws=50)
    for estimate in found.values():
        assert estimate.value == pytest.approx(0.25)
        assert estimate.low == pytest.approx(0.25)


def test_judge_refuses_what_it_cannot_learn(judge: Judge) -> None:
    """One text, one style, a style without a source, a text it does not know."""
    one = [slanted("upright", "one two", 0, k) for k in range(3)]
    with pytest.raises(ValueError, match="at least two texts in two styles"):
        Judge.fit(one, {"upright": "sea"})
    with pytest.raises(ValueError, match="no source given for leaning"):
        Judge.fit([*one, slanted("leaning", "six ten", 1, 1)], {"upright": "sea"})
    with pytest.raises(ValueError, match="knows no text 'new text'"):
        judge.name([slanted("upright", "new text", 0, 1)])


def test_too_few_writers_are_refused() -> None:
    """With what to do."""
    corpus = small_corpus()
    with pytest.raises(ValueError, match="ask for fewer"):
        choose_hands(corpus, 1, 2, 3)


def test_untrained_network_has_no_styles() -> None:
    """A small one: the measures run, and what it writes is in nobody's hand."""
    from handtraj.evaluation.networks import Hand
    from handtraj.sources import Line

    rng = np.random.default_rng(0)
    hands = []
    for k in range(4):
        lines = [
            Line(wave(120, int(rng.integers(1000))), text, f"w{k}", "sea", "line", 0.01)
            for text in ("sea salt", "the reef", "a tide", "no foam", "old sea")
        ]
        hands.append(Hand(f"w{k}", "sea", lines[0], tuple(lines[1:])))
    writer = Writer(small_checkpoint(units=64))
    found = network_measures(writer, hands, ["sea foam", "the tide", "a reef", "old salt"], ["c1"])
    assert found["chance"] == 0.25
    low, high = found["writing"]["c1"]["mean"]["interval"]
    assert low <= 0.35
    assert found["reading"]["c1"]["state"]["value"] >= 0
    assert high <= 1
