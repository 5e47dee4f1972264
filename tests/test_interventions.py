"""Changing the state while it writes."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from helpers import small_checkpoint

from handtraj.interventions import (
    Always,
    Once,
    ablate,
    add,
    clamp,
    combine,
    matched_directions,
    matched_subspace,
    middle,
    swap,
)
from handtraj.stepping import NetworkStepper
from handtraj.style import Style
from handtraj.writing import Hook, Writer, Writing

TEXTS = ["salt and foam", "the tide"]


@pytest.fixture(scope="module")
def writer() -> Writer:
    """A small untrained network."""
    return Writer(small_checkpoint())


def write(writer: Writer, hook: Hook | None = None) -> list[Writing]:
    """Two lines of sixty points."""
    g = torch.Generator().manual_seed(3)
    return writer.write_many(TEXTS, generator=g, record=True, max_points=60, hook=hook)


def same(a: list[Writing], b: list[Writing]) -> bool:
    """Bit for bit, ink and states."""
    return all(
        x.ink.offsets.tobytes() == y.ink.offsets.tobytes()
        and np.asarray(x.c).tobytes() == np.asarray(y.c).tobytes()
        for x, y in zip(a, b, strict=True)
    )


def orthonormal(n: int, d: int, seed: int = 0) -> np.ndarray:
    """Random orthonormal columns."""
    return np.linalg.qr(np.random.default_rng(seed).normal(size=(n, d)))[0]


@pytest.mark.parametrize(
    "hook",
    [
        add("c2", np.ones(12), strength=0.0),
        add("h1", np.zeros((2, 12))),
        swap("c3", np.arange(12.0), np.arange(12.0)),
        swap("c3", np.arange(12.0), np.arange(12.0), basis=orthonormal(12, 3)),
        add("c1", np.ones(12), when=Always(first=10**6)),
    ],
    ids=["strength 0", "zero vectors", "A for A", "A for A in a subspace", "never"],
)
def test_nothing_changes_nothing(writer: Writer, hook: Hook) -> None:
    """Size zero, A for A, or no step: bit for bit the writing without."""
    assert same(write(writer), write(writer, hook))


def test_a_change_changes_the_writing(writer: Writer) -> None:
    """The other way round: the test above could fail."""
    assert not same(write(writer), write(writer, add("c1", np.ones(12))))


def test_added_vector_is_found_in_the_recorded_state(writer: Writer) -> None:
    """At the step it is added, of its line alone, exactly that much and nothing before."""
    vectors = np.stack([np.zeros(12), np.linspace(-1, 1, 12)])
    plain = write(writer)
    moved = write(writer, add("c2", vectors, when=Always(first=7, last=7)))
    assert same(plain[:1], moved[:1])
    before, after = np.asarray(plain[1].c), np.asarray(moved[1].c)
    assert np.array_equal(before[:7], after[:7])
    np.testing.assert_allclose(after[7, 1] - before[7, 1], vectors[1], atol=1e-6)
    assert np.array_equal(after[7, [0, 2]], before[7, [0, 2]])


def test_step_minus_one_changes_the_state_before_the_first_point(writer: Writer) -> None:
    """The first point is then drawn from the changed state."""
    plain, moved = write(writer), write(writer, add("h3", np.full(12, 2.0), when=Always(-1, -1)))
    assert not np.array_equal(plain[0].ink.offsets[:2], moved[0].ink.offsets[:2])


def test_clamp_holds_coordinates_and_leaves_the_rest(writer: Writer) -> None:
    """Along the basis the coordinates asked for; across it those of the step itself."""
    basis, points = orthonormal(12, 3), np.linspace(0, 1, 12)
    moved = write(writer, clamp("h2", basis, points, when=Always(first=5, last=5)))
    plain = write(writer)
    before, after = np.asarray(plain[0].h)[5, 1], np.asarray(moved[0].h)[5, 1]
    np.testing.assert_allclose(after @ basis, points @ basis, atol=1e-6)
    rest = np.eye(12) - basis @ basis.T
    np.testing.assert_allclose(rest @ after, rest @ before, atol=1e-6)


def test_ablation_leaves_no_variance_along_the_basis(writer: Writer) -> None:
    """Every recorded step has the centre's coordinates."""
    basis, centre = orthonormal(12, 2), np.full(12, 0.1)
    moved = write(writer, ablate("c1", basis, centre))
    along = np.asarray(moved[0].c)[:, 0] @ basis
    np.testing.assert_allclose(along, np.tile(centre @ basis, (len(along), 1)), atol=1e-6)


def test_once_acts_once_a_line(writer: Writer) -> None:
    """A change of the cells at the first step after the window reached a place."""
    texts_at = np.array([1, 2])
    hook = add("c1", np.full(12, 0.5), when=Once(character=texts_at))
    calls: list[tuple[int, tuple[int, ...]]] = []

    class Watch(Once):
        def now(self, step, stepper, rows):  # type: ignore[no-untyped-def]
            found = super().now(step, stepper, rows)
            if found.any():
                calls.append((step, tuple(rows[found])))
                assert (stepper.phi.argmax(1)[found] >= texts_at[rows[found]]).all()
            return found

    write(writer, add("c1", hook.offset, when=Watch(character=texts_at)))
    assert sorted(line for _, lines in calls for line in lines) == [0, 1]


def test_hooks_combine_in_order(writer: Writer) -> None:
    """Adding a and b, and adding their sum, end in the same state."""
    a, b = np.linspace(0, 1, 12), np.linspace(1, -1, 12)
    when = Always(4, 4)
    both = write(writer, combine(add("c3", a, when=when), add("c3", b, when=when)))
    once = write(writer, add("c3", a + b, when=when))
    np.testing.assert_allclose(np.asarray(both[0].c)[4], np.asarray(once[0].c)[4], atol=1e-6)


def test_network_stepper_is_moved_alike(writer: Writer, monkeypatch: pytest.MonkeyPatch) -> None:
    """The steps any device takes give the states of the packed ones."""
    hook = add("c2", np.linspace(-1, 1, 12), when=Always(3, 3))
    packed = write(writer, hook)
    monkeypatch.setattr(
        Writer,
        "stepper",
        lambda self, codes, state=None: NetworkStepper(self.network, codes, state),
    )
    plain = write(writer, add("c2", np.linspace(-1, 1, 12), when=Always(3, 3)))
    np.testing.assert_allclose(np.asarray(packed[0].c), np.asarray(plain[0].c), atol=1e-4)


def test_middle_is_where_a_word_begins(writer: Writer) -> None:
    """Counted in the prime's text and the text together."""
    state = writer.network.initial_state(1)
    style = Style("mine", state, "ab ", 10)
    assert middle(["one two six"], [None]).tolist() == [8]
    assert middle(["one two six"], [style]).tolist() == [11]
    assert middle(["sixtyseven"], [None]).tolist() == [5]


def test_matched_controls_match() -> None:
    """Lengths of directions; variance held by a subspace, away from the one avoided."""
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(5, 30)) * np.arange(1, 6)[:, None]
    drawn = matched_directions(vectors, rng)
    np.testing.assert_allclose(np.linalg.norm(drawn, axis=1), np.linalg.norm(vectors, axis=1))
    x = rng.normal(size=(500, 30)) * np.geomspace(10, 0.1, 30)
    covariance, avoid = np.cov(x.T), orthonormal(30, 4)
    for wanted in (5.0, 60.0):
        found = matched_subspace(covariance, 4, wanted, rng, avoid=avoid)
        np.testing.assert_allclose(found.T @ found, np.eye(4), atol=1e-9)
        np.testing.assert_allclose(np.trace(found.T @ covariance @ found), wanted, rtol=1e-6)
        np.testing.assert_allclose(avoid.T @ found, 0, atol=1e-9)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: add("c1", np.full(12, np.nan)), "must be finite"),
        (lambda: swap("c1", np.zeros(12), np.ones(12), basis=np.ones((12, 2))), "orthonormal"),
        (lambda: clamp("c1", np.ones(12), np.ones(12)), "shape"),
        (lambda: middle(["a"], [None], 1.5), "share must be"),
        (
            lambda: matched_subspace(np.eye(5), 2, 9.0, np.random.default_rng(0)),
            "choose another dimension",
        ),
        (
            lambda: matched_subspace(np.eye(5), 7, 2.0, np.random.default_rng(0)),
            "dimension must be",
        ),
    ],
)
def test_bad_input_is_refused(make, message: str) -> None:  # type: ignore[no-untyped-def]
    """One line that says what is allowed."""
    with pytest.raises(ValueError, match=message):
        make()


@pytest.mark.parametrize("layer", ["c4", "h0", "x1", "c"])
def test_unknown_layer_is_named(writer: Writer, layer: str) -> None:
    """With those there are."""
    with pytest.raises(ValueError, match="there are: h1, h2, h3, c1, c2, c3"):
        write(writer, add(layer, np.zeros(12)))
