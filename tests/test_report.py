"""The report: its parts on real lines, where they are, and what it refuses."""

import json
from importlib import resources

import numpy as np
import pytest

from handtraj.checkpoint import load_checkpoint, shipped_weights
from handtraj.corpus import build_corpus
from handtraj.evaluation.reader import load_reader
from handtraj.evaluation.report import ReportConfig, evaluate, headlines, save_report
from handtraj.evaluation.resemblance import prime_prefix
from handtraj.loss import mean_nats, validation_batches
from handtraj.writing import load_writer


@pytest.fixture(scope="module")
def shipped():
    """The report that comes with the package."""
    return json.loads((resources.files("handtraj") / "assets" / "report.json").read_text())


@pytest.fixture(scope="module")
def measured(unipen_lines):
    """A small report on the real corpus, with the shipped weights."""
    corpus = build_corpus(unipen_lines[0], about={"name": "UNIPEN"})
    config = ReportConfig(
        likelihood_lines=12,
        texts=6,
        biases=(1.0,),
        primed_biases=(1.0,),
        inside=4,
        named_each=1,
        prime_points=(0, 600),
    )
    checkpoint = load_checkpoint(shipped_weights())
    return corpus, checkpoint, evaluate(checkpoint, corpus, load_reader(), config=config)


def test_every_estimate_has_value_interval_and_n(shipped):
    """Wherever a value stands, its interval holds it and n says what it rests on."""
    found = []

    def walk(node):
        if isinstance(node, dict):
            if "value" in node:
                found.append(node)
            for inner in node.values():
                walk(inner)

    walk({k: v for k, v in shipped.items() if k != "about"})
    assert len(found) > 20
    for one in found:
        assert one["n"] >= 1
        if one["interval"] is not None:
            low, high = one["interval"]
            assert low <= one["value"] <= high
        else:
            assert one["n"] == 1


def test_shipped_report_is_of_the_shipped_weights(shipped):
    """Fingerprints agree; the promised keys are there."""
    assert shipped["about"]["weights"] == load_writer().fingerprint
    assert shipped["about"]["command"].startswith("handtraj evaluate")
    assert set(shipped["cer"]["written"]) == {"0", "0.25", "0.5", "1", "2"}
    for key in ("real", "primed"):
        assert shipped["identifier"][key]["within_source"]["accuracy"]["value"] <= 1
    assert shipped["nats_per_point"]["held_out_writers"]["n"] > 10


def test_small_report_is_whole(measured, tmp_path):
    """All parts, as JSON, with headlines."""
    _, _, report = measured
    save_report(report, tmp_path / "report.json", command="handtraj evaluate")
    again = json.loads((tmp_path / "report.json").read_text())
    assert again["cer"]["real"]["items"] == 6
    assert sum(again["calibration"]["pen"]["bins"][k]["n"] for k in range(2)) > 0
    assert again["fates"]["written"]["1"]["lines"] == 6
    assert {"0", "600"} == set(again["identifier"]["by_points"])
    assert len(headlines(again)) >= 9


def test_nats_agree_with_the_validation_of_training(measured):
    """The same weights on the same split by the trainer's own measure, other lines: near."""
    corpus, checkpoint, report = measured
    batches = validation_batches(
        corpus, checkpoint.alphabet, checkpoint.scale, split="test", limit=40
    )
    import torch

    other = mean_nats(checkpoint.network, batches, torch.device("cpu"))
    found = report["nats_per_point"]["held_out_writers"]["value"]
    assert found == pytest.approx(other, abs=0.5)


def test_prefix_of_a_prime_keeps_whole_words(measured):
    """Longer primes hold more words; the text ends where a word ends."""
    corpus = measured[0]
    writer = load_writer()
    index = next(
        int(i)
        for i in corpus.select("test", kind="line")
        if corpus.texts[i].count(" ") >= 3
        and prime_prefix(writer, corpus.line(int(i)).ink, corpus.texts[i], 10_000)
    )
    line = corpus.line(index)
    assert prime_prefix(writer, line.ink, line.text, 3) is None
    lengths = []
    for points in np.linspace(0.4, 0.9, 4) * len(line.ink):
        style = prime_prefix(writer, line.ink, line.text, int(points))
        if style is not None:
            assert style.points <= points
            assert line.text.startswith(style.text.rstrip())
            assert line.text[len(style.text.rstrip())] == " "
            lengths.append(style.points)
    assert lengths == sorted(lengths)
    assert lengths


@pytest.mark.parametrize(
    ("change", "message"),
    [({"texts": 0}, "texts must be >= 1"), ({"biases": ()}, "biases"), ({"biases": (-1.0,)}, "0")],
)
def test_impossible_settings_are_refused(change, message):
    """Named, with what is allowed."""
    with pytest.raises(ValueError, match=message):
        ReportConfig(**change)
