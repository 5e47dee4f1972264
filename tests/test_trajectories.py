"""Recorded states and their labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from helpers import small_checkpoint, wave

from handtraj.network import State
from handtraj.recording import layer_names, read, record
from handtraj.style import Style
from handtraj.trajectories import COLUMNS, Trajectories
from handtraj.writing import Writer

TEXTS = ["salt and foam", "the tide", "reef"]


@pytest.fixture(scope="module")
def writer() -> Writer:
    """A small untrained network; it never finishes a line."""
    return Writer(small_checkpoint())


@pytest.fixture(scope="module")
def styles(writer: Writer) -> list[Style]:
    """Two primed states."""
    return [writer.prime(wave(30, seed), "sea", name=f"wave{seed}") for seed in (1, 2)]


@pytest.fixture(scope="module")
def traj(writer: Writer, styles: list[Style]) -> Trajectories:
    """Three texts, two styles, two repeats, everything recorded."""
    g = torch.Generator().manual_seed(0)
    layers = (*layer_names(writer), "window", "mixture")
    return record(writer, TEXTS, styles, 2, generator=g, layers=layers, batch=5)


def test_rows_are_labelled(traj: Trajectories) -> None:
    """Writings in order of styles, texts, repeats; characters of their texts; phases 0 to 1."""
    assert len(traj.writings) == 12
    assert traj.per_writing("style").tolist() == ["wave1"] * 6 + ["wave2"] * 6
    assert traj.per_writing("text").tolist() == [t for t in TEXTS for _ in range(2)] * 2
    assert len(set(traj.per_writing("seed").tolist())) == 12
    table = traj.table
    assert tuple(table) == COLUMNS
    for text, index, character in zip(
        table["text"][::37], table["index"][::37], table["character"][::37], strict=True
    ):
        assert text[index] == character
    assert (table["step"][np.diff(table["writing"], prepend=-1) > 0] == 0).all()
    assert table["phase"].min() >= 0
    assert table["phase"].max() <= 1


def test_phase_counts_through_each_stay() -> None:
    """By hand: stays of three, one and two steps."""
    from handtraj.recording import _phase

    index = np.array([0, 0, 0, 1, 0, 0])
    assert _phase(index).tolist() == [0, 0.5, 1, 0.5, 0, 1]


def test_states_are_those_of_a_forced_run(writer: Writer) -> None:
    """The network's own steps along the recorded points give the same states."""
    g = torch.Generator().manual_seed(5)
    layers = (*layer_names(writer), "window", "mixture")
    one = record(writer, ["the tide"], [None], generator=g, layers=layers)
    assert one.about["how"] == "sampled"
    x = np.column_stack([one.table["dx"], one.table["dy"], one.table["pen"]]).astype(np.float32)
    x[:, :2] /= writer.scale
    network = writer.network
    hot = network.one_hot(torch.from_numpy(writer.alphabet.encode("the tide "))[None])
    # The first offset is not kept: both go on from the state after it.  The
    # last point of a line that was given up gets its pen lifted afterwards.
    h, c = (
        torch.stack([torch.from_numpy(one.layer(f"{kind}{i}")[:1]) for i in (1, 2, 3)])
        for kind in "hc"
    )
    moved = network.window_head(h[0])[:, 2 * network.config.windows :].exp()
    with torch.no_grad():
        _, origin = network.step(torch.zeros(1, 3), hot, network.initial_state(1))
        state = State(h, c, torch.from_numpy(one.layer("window")[:1]), origin.kappa + moved)
        for row in torch.from_numpy(x)[1:-1, None]:
            raw, state = network.step(row, hot, state)
    for i in range(3):
        np.testing.assert_allclose(one.layer(f"h{i + 1}")[-2], state.h[i, 0], atol=1e-4)
        np.testing.assert_allclose(one.layer(f"c{i + 1}")[-2], state.c[i, 0], atol=1e-4)
    np.testing.assert_allclose(one.layer("mixture")[-2], raw[0], atol=1e-4)
    np.testing.assert_allclose(one.layer("window")[-2], state.window[0], atol=1e-4)


def test_reading_agrees_with_the_forward_pass(writer: Writer) -> None:
    """Teacher forcing of two inks of different length, padded in one batch."""
    inks, texts = [wave(25, 5), wave(40, 6)], ["salt", "the sea"]
    found = read(writer, inks, texts, names=["a", "b"], layers=["h1", "h2", "h3", "window"])
    assert found.per_writing("style").tolist() == ["a", "b"]
    for trial, (ink, text) in enumerate(zip(inks, texts, strict=True)):
        x = torch.from_numpy(ink.offsets.copy())
        x[:, :2] /= writer.scale
        codes = torch.from_numpy(writer.alphabet.encode(text + " "))[None]
        with torch.no_grad():
            reading = writer.network(x[:, None], writer.network.one_hot(codes))
        for layer in range(3):
            np.testing.assert_allclose(
                found.trials(f"h{layer + 1}")[trial], reading.h[layer][:, 0], atol=1e-4
            )
        np.testing.assert_allclose(found.trials("window")[trial], reading.window[:, 0], atol=1e-4)


def test_reading_from_a_style_goes_on_from_it(writer: Writer, styles: list[Style]) -> None:
    """The state after one point depends on where it began."""
    plain = read(writer, [wave(12, 1)], ["sea"], layers=["c2"])
    primed = read(writer, [wave(12, 1)], ["sea"], styles=styles[:1], layers=["c2"])
    assert primed.per_writing("style").tolist() == ["wave1"]
    assert not np.allclose(plain.layer("c2"), primed.layer("c2"))


def test_repeats_do_not_depend_on_the_batch(writer: Writer, styles: list[Style]) -> None:
    """Same generator, another batch size: seeds go by length, so only the grouping differs."""
    a, b = (
        record(writer, TEXTS, styles, 1, generator=torch.Generator().manual_seed(1), batch=n)
        for n in (2, 6)
    )
    np.testing.assert_array_equal(a.table["seed"], b.table["seed"])
    np.testing.assert_allclose(a.table["dx"], b.table["dx"], atol=1e-4)


def test_selection_and_trials(traj: Trajectories) -> None:
    """Rows that meet all conditions; one array a writing."""
    part = traj.select(styles=["wave2"], texts=["reef"])
    assert len(part.writings) == 2
    trials = part.trials("h1")
    assert [len(t) for t in trials] == [(part.table["writing"] == w).sum() for w in part.writings]
    np.testing.assert_array_equal(np.concatenate(trials), part.layer("h1"))
    only = traj.select(traj.column("phase") > 0.5, characters=["e"])
    assert (only.column("phase") > 0.5).all()
    assert set(only.column("character")) == {"e"}


def test_pooled_means_are_those_of_numpy(traj: Trajectories) -> None:
    """Against a plain loop over the groups."""
    keys, means, counts = traj.pooled("c3", by=("style", "character"))
    assert counts.sum() == len(traj)
    for key, mean, count in zip(keys, means, counts, strict=True):
        rows = (traj.table["style"] == key[0]) & (traj.table["character"] == key[1])
        assert rows.sum() == count
        np.testing.assert_allclose(mean, traj.layer("c3")[rows].mean(0), atol=1e-6)


def test_file_round_trips(traj: Trajectories, tmp_path: Path) -> None:
    """All arrays and what is said of them."""
    traj.save(tmp_path / "t.npz")
    again = Trajectories.load(tmp_path / "t.npz")
    assert again.about == traj.about
    for name, array in {**traj.states, **traj.table}.items():
        found = {**again.states, **again.table}[name]
        np.testing.assert_array_equal(found, array)


def test_xarray_has_the_table_as_coordinates(traj: Trajectories) -> None:
    """Variables a layer, rows labelled."""
    pytest.importorskip("xarray")
    data = traj.to_xarray()
    assert data["h2"].shape == (len(traj), 12)
    assert (data["h2"].where(data.style == "wave1", drop=True).text == "reef").any()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"layers": ["h9"]}, "layers must be some of h1, h2, h3, c1, c2, c3, window, mixture"),
        ({"layers": "h1"}, "layers must be some of"),
        ({"layers": []}, "layers must be some of"),
        ({"texts": []}, "at least one text"),
        ({"texts": "sea"}, "must be a list"),
        ({"styles": []}, "at least one style"),
        ({"styles": [None, None]}, "must differ in name"),
        ({"repeats": 0}, "must be >= 1"),
        ({"texts": ["säge"]}, "outside the alphabet"),
    ],
)
def test_recording_refuses(writer: Writer, change: dict[str, object], message: str) -> None:
    """One line that says what is allowed."""
    given: dict[str, object] = {"texts": ["sea"], "styles": [None], **change}
    with pytest.raises(ValueError, match=message):
        record(writer, **given, generator=torch.Generator())  # type: ignore[arg-type]


def test_reading_refuses_lists_that_differ(writer: Writer) -> None:
    """Every ink has its text."""
    with pytest.raises(ValueError, match="every ink needs its text"):
        read(writer, [wave(12)], ["a", "b"])


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda t: t.layer("h4"), "no layer 'h4'; recorded: h1"),
        (lambda t: t.column("time"), "no column 'time'; there are: writing"),
        (lambda t: t.select(styles=["wave3"]), "no style 'wave3' here; there are: wave1, wave2"),
        (lambda t: t.select(styles="wave1"), "must be a list"),
        (lambda t: t.select(np.zeros(len(t), bool)), "no step meets"),
        (lambda t: t.select(np.zeros(3, bool)), "mask must have shape"),
        (lambda t: t.pooled("h1", by=()), "at least one column"),
    ],
)
def test_questions_that_have_no_answer(traj: Trajectories, ask, message: str) -> None:  # type: ignore[no-untyped-def]
    """What is there is listed."""
    with pytest.raises(ValueError, match=message):
        ask(traj)


def test_other_files_are_refused(tmp_path: Path) -> None:
    """A npz of something else, and no npz at all."""
    np.savez(tmp_path / "a.npz", x=np.zeros(3))
    (tmp_path / "b.npz").write_text("hello")
    for name in ("a.npz", "b.npz"):
        with pytest.raises(ValueError, match="holds no trajectories"):
            Trajectories.load(tmp_path / name)
