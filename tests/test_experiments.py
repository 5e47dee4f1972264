"""Recorded results against small reruns with other random numbers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from helpers import small_corpus

import handtraj as ht
from handtraj.corpus import save_corpus
from handtraj.results import load_result, result_names

ROOT = Path(__file__).parents[1]
#: Results that were measured on the shipped weights.
ON_SHIPPED = (
    *("styles", "letters", "swaps", "ablations"),
    *("priming", "primes", "arrival", "methods"),
)


@pytest.fixture(scope="module")
def rerun(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Runs an experiment's reduced version, with a seed the record does not have."""
    folder = tmp_path_factory.mktemp("rerun")

    def run(script: str, *words: str) -> dict[str, Any]:
        out = folder / f"{script}-{'-'.join(words)}.json"
        command = [sys.executable, str(ROOT / "experiments" / f"{script}.py"), *words]
        command += ["--reduced", "--seed", "1", "-o", str(out)]
        done = subprocess.run(
            command, capture_output=True, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    return run


def meet(a: dict[str, Any], b: dict[str, Any]) -> bool:
    """Whether two 95 % intervals have a number in common."""
    (low, high), (bottom, top) = a["interval"], b["interval"]
    return bool(low <= top and bottom <= high)


@pytest.mark.parametrize("name", ON_SHIPPED)
def test_record_belongs_to_the_shipped_weights(name: str) -> None:
    """New weights need new results; and every record says how it was made."""
    about = load_result(name)["about"]
    assert about["weights"] == ht.load_writer().fingerprint
    assert about["commit"]
    assert about["command"].startswith("python experiments/")
    assert "/" not in about["command"].replace("experiments/", "").replace("|", "")


@pytest.mark.parametrize("name", result_names())
def test_record_is_small(name: str) -> None:
    """The wheel carries them all."""
    path = Path(ht.__file__).parent / "assets" / "results" / f"{name}.json"
    assert path.stat().st_size < 300_000


def test_styles_lie_apart_again(rerun: Callable[..., dict[str, Any]]) -> None:
    """Cells of layer 2: gap of alignment, decoding, and the share between means."""
    small, full = rerun("styles")["layers"]["c2"], load_result("styles")["layers"]["c2"]
    gaps = [d["alignment"]["raw"]["10"] for d in (small, full)]
    assert all(gap["apart"]["interval"][0] > gap["apart, shuffled"][2] for gap in gaps)
    for one in (small, full):
        state = one["decoding"]["state"]
        assert state["interval"][0] > 2 * state["chance"]
        assert one["means"]["between"] > one["means"]["null"] + 0.05


def test_letters_lie_alike_again(rerun: Callable[..., dict[str, Any]]) -> None:
    """From a sixth of the writings fewer letters are named; the order of things is the same."""
    small, full = rerun("letters")["layers"]["c2"], load_result("letters")["layers"]["c2"]
    assert small["decoding"]["within"]["value"] < full["decoding"]["within"]["interval"][1]
    for one in (small, full):
        assert one["decoding"]["within"]["interval"][0] > 3 * one["chance"]
        apart = {k: v["value"] for k, v in one["distance"].items()}
        assert apart["floor_centred"] < 1.05 * apart["centred"]
        assert 1.2 * apart["centred"] < apart["mismatched"]
        assert 1.5 * apart["centred"] < apart["raw"]


def test_moving_the_state_moves_the_hand_again(rerun: Callable[..., dict[str, Any]]) -> None:
    """The same eight pairs: cells of layer 2 do it, layer 1 and a random direction do not."""
    small, full = rerun("cause", "swaps"), load_result("swaps")
    rng = np.random.default_rng(0)
    for name in ("c1", "c2", "c2, random direction"):
        recorded = np.array(full["swaps"][name]["by_style"]["new"][: small["pairs"]])
        drawn = rng.choice(recorded, (2000, len(recorded))).mean(1)
        ends = {"interval": np.quantile(drawn, [0.025, 0.975]).tolist()}
        assert meet(small["swaps"][name]["new"], ends), name
    new = {name: one["new"]["value"] for name, one in small["swaps"].items()}
    assert new["c2"] > new["c1"] + 0.3
    assert new["c2"] > new["c2, random direction"] + 0.3


def test_taking_the_place_away_takes_the_hand_again(
    rerun: Callable[..., dict[str, Any]],
) -> None:
    """Five dimensions of the styles' place, beside five others with as much variance."""
    small, full = rerun("cause", "ablations"), load_result("ablations")
    style, other = "c2, 5 dimensions, style", "c2, 5 dimensions, random 1"
    for one in (small, full):
        found = one["ablations"]
        assert found[style]["old"]["value"] < one["undisturbed"]["old"]["value"] - 0.1
        # The hand is lost either way; the letters only where other directions go.
        errors = [found[name]["character_error"]["value"] for name in (style, other)]
        assert errors[0] < errors[1] - 0.1


def test_sizes_get_the_same_time_and_the_log_of_a_run_is_kept(tmp_path: Path) -> None:
    """Two tiny networks on a small corpus; then the last leg of a run, block by block."""
    save_corpus(small_corpus(), tmp_path / "waves.npz")
    script = str(ROOT / "experiments" / "training.py")

    def run(*words: str) -> dict[str, Any]:
        out = tmp_path / "result.json"
        subprocess.run([sys.executable, script, *words, "-o", str(out)], check=True)
        found: dict[str, Any] = json.loads(out.read_text())
        return found

    found = run("sizes", str(tmp_path / "waves.npz"), "--reduced", "--minutes", "0.005")["runs"]
    assert [row["units"] for row in found] == [8, 12]
    assert all(row["curve"] and np.isfinite(row["line"]) for row in found)
    config = ht.TrainConfig(
        points=6000, validate_every=4, sampling=ht.SamplingConfig(points=400, pool=4, longest=80)
    )
    size = ht.NetworkConfig(units=8, layers=2, windows=3, components=2)
    ht.train(small_corpus(), tmp_path / "run", config=config, network=size)
    kept = run("overfitting", str(tmp_path / "run"))["runs"]
    rows = [json.loads(row) for row in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    nats = [row["nats"] for row in rows if "nats" in row]
    assert len(kept["training"]) == 1
    assert kept["training"][0]["nats"] == pytest.approx(np.mean(nats), abs=1e-4)
    assert len(kept["validation"]) == sum("validation_line" in row for row in rows)
    begun = ["--start", str(tmp_path / "run" / "best.safetensors"), "--points", "30000"]
    corpus = str(tmp_path / "waves.npz")
    only = ["--only", "nothing", "dropout"]
    found = run("regularisers", corpus, *begun, *only)["runs"]
    assert [row["change"] for row in found] == ["nothing", "dropout"]
    assert [row["settings"] for row in found] == [{}, {"dropout": 0.15}]
    # The same points in the same order, so a difference is owed to the change.
    assert found[0]["points"] == found[1]["points"]
    assert found[0]["training"] != found[1]["training"]
