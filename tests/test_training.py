"""Training: exact resume, a kill at any moment, schedules, non-finite losses."""

import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import replace

import numpy as np
import pytest
import torch
from helpers import small_corpus, small_network

from handtraj.alphabet import Alphabet
from handtraj.batches import Sampler, SamplingConfig, item, pad
from handtraj.checkpoint import load_checkpoint, read_tensors
from handtraj.corpus import save_corpus
from handtraj.loss import batch_loss, corpus_scale, mean_nats, validation_batches
from handtraj.network import NetworkConfig
from handtraj.training import TrainConfig, TrainingError, learning_rate, train

SIZE = NetworkConfig(units=10, layers=2, windows=3, components=2)
FAST = TrainConfig(
    points=12_000,
    warmup=3,
    validate_every=10,
    save_every=4,
    words_first=0.2,
    sampling=SamplingConfig(points=400, pool=4, longest=80),
)


def weights(folder):
    """The tensors of the last training state."""
    return read_tensors(folder / "last.safetensors")[0]


def rows(folder):
    """The log without the clock."""
    found = [json.loads(row) for row in (folder / "log.jsonl").read_text().splitlines()]
    return [{k: v for k, v in row.items() if k != "seconds"} for row in found]


@pytest.fixture(scope="module")
def straight(tmp_path_factory):
    """A run without interruption."""
    folder = tmp_path_factory.mktemp("straight")
    train(small_corpus(), folder / "run", config=FAST, network=SIZE)
    return folder / "run"


def test_loss_falls(straight):
    """Held-out nats at the end are well below those of the first validation."""
    found = [row for row in rows(straight) if "validation_line" in row]
    assert found[-1]["validation_line"] < found[0]["validation_line"] - 0.05


@pytest.mark.parametrize("stop", [1, 5, 13])
def test_resumed_run_equals_one_without_interruption(straight, tmp_path, stop):
    """Weights, averages, optimiser and log, bit for bit, wherever it stopped."""
    corpus = small_corpus()
    train(corpus, tmp_path / "run", config=FAST, network=SIZE, stop_after=stop)
    train(corpus, tmp_path / "run", resume=True)
    expected, found = weights(straight), weights(tmp_path / "run")
    assert expected.keys() == found.keys()
    assert all(torch.equal(expected[k], found[k]) for k in expected)
    learned = [row for row in rows(straight) if "nats" in row]
    assert [row for row in rows(tmp_path / "run") if "nats" in row][-1] == learned[-1]


def test_run_killed_at_any_moment_resumes_exactly(straight, tmp_path):
    """SIGKILL at random moments; the finished run is the uninterrupted one."""
    save_corpus(small_corpus(), tmp_path / "waves.npz")
    script = (
        "import sys; sys.path.insert(0, sys.argv[3])\n"
        "from pathlib import Path\n"
        "from test_training import FAST, SIZE\n"
        "from handtraj.corpus import load_corpus\n"
        "from handtraj.training import train\n"
        "run = Path(sys.argv[2])\n"
        "again = (run / 'last.safetensors').exists()\n"
        "train(load_corpus(sys.argv[1]), run, resume=again,\n"
        "      config=None if again else FAST, network=SIZE)\n"
        "(run / 'done').touch()\n"
    )
    command = [
        sys.executable,
        "-c",
        script,
        str(tmp_path / "waves.npz"),
        str(tmp_path / "run"),
        os.path.dirname(__file__),
    ]
    rng = np.random.default_rng(0)
    kills = 0
    for _ in range(40):
        errors = (tmp_path / "errors").open("w+")
        process = subprocess.Popen(command, stderr=errors)
        log = tmp_path / "run" / "log.jsonl"
        before = log.stat().st_size if log.exists() else 0
        if kills < 3:
            # Wait until it trains, then strike a little later.
            while process.poll() is None and not (log.exists() and log.stat().st_size > before):
                time.sleep(0.02)
            time.sleep(rng.uniform(0.05, 0.5))
        if kills < 3 and process.poll() is None:
            process.send_signal(signal.SIGKILL)
            process.wait()
            errors.close()
            kills += 1
            continue
        process.wait()
        errors.seek(0)
        assert process.returncode == 0, errors.read()
        errors.close()
        break
    assert (tmp_path / "run" / "done").exists()
    assert kills >= 1
    expected, found = weights(straight), weights(tmp_path / "run")
    assert all(torch.equal(expected[k], found[k]) for k in expected)


def test_padding_does_not_change_the_loss():
    """The loss of a padded batch is the sum of its items' own losses."""
    corpus = small_corpus()
    network = small_network()
    items = [item(corpus, i, 1000) for i in (0, 1, 2)]
    device = torch.device("cpu")
    together, count = batch_loss(network, pad(items, Alphabet(), 0.4), device)
    alone = [batch_loss(network, pad([one], Alphabet(), 0.4), device) for one in items]
    assert count == sum(n for _, n in alone)
    assert together.item() == pytest.approx(sum(v.item() for v, _ in alone), rel=1e-5)


def test_learning_rate_follows_its_three_parts():
    """Warm-up, plateau, and a twentieth of the rate at the end."""
    config = replace(FAST, points=1000, warmup=10, rate=1.0, decay_share=0.5)
    assert learning_rate(config, 0, 0) == pytest.approx(0.1)
    assert learning_rate(config, 50, 400) == 1.0
    assert learning_rate(config, 50, 625) == pytest.approx(1 - 0.95 * 0.5)
    assert learning_rate(config, 50, 1000) == pytest.approx(0.05)


def test_non_finite_loss_stops_with_update_and_lines(tmp_path):
    """A rate that blows the weights up ends training; update and lines are named."""
    wild = replace(FAST, rate=1e30, warmup=0)
    with pytest.raises(TrainingError, match=r"at update \d+, corpus lines \(\("):
        train(small_corpus(), tmp_path / "run", config=wild, network=SIZE)


def test_existing_run_is_not_overwritten(straight):
    """Without resume, a folder that holds a run is refused."""
    with pytest.raises(ValueError, match="already holds a run"):
        train(small_corpus(), straight, config=FAST, network=SIZE)


def test_nothing_to_resume_is_refused(tmp_path):
    """Resume needs a saved state."""
    with pytest.raises(ValueError, match="nothing to resume"):
        train(small_corpus(), tmp_path / "none", resume=True)


def test_stable_state_allows_a_longer_run(straight, tmp_path):
    """The state before the rate falls goes on with a later end."""
    (tmp_path / "run").mkdir()
    (straight / "stable.safetensors").read_bytes()
    (tmp_path / "run" / "last.safetensors").write_bytes(
        (straight / "stable.safetensors").read_bytes()
    )
    train(small_corpus(), tmp_path / "run", resume=True, changes={"points": 20_000})
    assert rows(tmp_path / "run")[-1]["points"] >= 20_000


def test_best_weights_start_another_run(straight, tmp_path):
    """Weights alone begin a run with a fresh optimiser, at their own scale."""
    start = load_checkpoint(straight / "best.safetensors")
    before = start.network.head.weight.detach().clone()
    best = train(small_corpus(), tmp_path / "run", config=FAST, start_from=start, stop_after=1)
    found = load_checkpoint(best)
    assert found.scale == start.scale
    assert float((found.network.head.weight - before).detach().abs().max()) < 0.05


def test_scale_is_the_spread_of_training_offsets():
    """Against numpy over the training lines, every writer alike."""
    corpus = small_corpus()
    by_writer = {}
    for i in corpus.select("train"):
        by_writer.setdefault(corpus.writers[i], []).append(corpus.offsets(int(i))[1:, :2])
    expected = np.sqrt(
        np.mean([np.mean([np.square(o).mean() for o in v]) for v in by_writer.values()])
    )
    assert corpus_scale(corpus) == pytest.approx(expected, abs=1e-4)


def test_validation_sees_only_its_writers():
    """No line of another split is in the validation set."""
    corpus = small_corpus()
    allowed = set(corpus.select("validation").tolist())
    batches = validation_batches(corpus, Alphabet(), 0.4)
    seen = {i for batch in batches for lines in batch.lines for i in lines}
    assert seen
    assert seen <= allowed
    value = mean_nats(small_network(), batches, torch.device("cpu"))
    assert np.isfinite(value)


@pytest.mark.parametrize("most", [2, 7])
def test_composed_lines_have_as_many_words_as_asked(most):
    """From two words up to the limit, all of one writer."""
    corpus = small_corpus()
    config = SamplingConfig(lines=0, composed=1, words=most, points=4000, longest=5000, pool=8)
    batches = list(Sampler(corpus, Alphabet(), 0.4, config, seed=1).round(0))
    drawn = [lines for batch in batches for lines in batch.lines]
    assert {len(lines) for lines in drawn} == set(range(2, most + 1))
    assert all(len({corpus.writers[i] for i in lines}) == 1 for lines in drawn)


def test_joined_lines_are_whole_lines_of_one_hand_in_a_row():
    """At least two, until the item is full, none twice, and their texts in order."""
    corpus = small_corpus()
    config = SamplingConfig(points=400, pool=8, longest=150, lines=0, composed=0, joined=1)
    sampler = Sampler(corpus, Alphabet(), 0.4, config, seed=3)
    found = [lines for batch in sampler.round(0) for lines in batch.lines]
    assert found
    for lines in found:
        assert len({(corpus.writers[i], corpus.sources[i]) for i in lines}) == 1
        assert all(corpus.kinds[i] == "line" and corpus.splits[i] == "train" for i in lines)
        assert len(set(lines)) == len(lines) >= 2
        before = sum(corpus.lengths[i] for i in lines[:-1])
        assert before < 150
    with pytest.raises(ValueError, match="at most 1 together"):
        SamplingConfig(lines=0.5, composed=0.4, joined=0.2)


def test_dropout_and_noise_resume_bit_for_bit(tmp_path):
    """What is hidden follows from seed and update alone."""
    corpus = small_corpus()
    config = replace(FAST, points=4000, dropout=0.2, weight_noise=0.01)
    train(corpus, tmp_path / "one", config=config, network=SIZE)
    train(corpus, tmp_path / "two", config=config, network=SIZE, stop_after=4)
    train(corpus, tmp_path / "two", resume=True)
    expected, found = weights(tmp_path / "one"), weights(tmp_path / "two")
    assert all(torch.equal(expected[k], found[k]) for k in expected)
    train(corpus, tmp_path / "plain", config=replace(config, dropout=0.0), network=SIZE)
    plain = weights(tmp_path / "plain")
    assert not all(torch.equal(expected[k], plain[k]) for k in expected)


def test_ranks_share_a_round():
    """Two ranks together see what one sees alone."""
    corpus = small_corpus()

    def seen(rank, world):
        sampler = Sampler(corpus, Alphabet(), 0.4, FAST.sampling, seed=1, rank=rank, world=world)
        return [lines for batch in sampler.round(0) for lines in batch.lines]

    assert sorted(seen(0, 2) + seen(1, 2)) == sorted(seen(0, 1))


@pytest.mark.parametrize("change", [{"points": 0}, {"rate": -1.0}, {"average": 1.0}])
def test_bad_settings_are_refused(change):
    """Settings out of range name themselves."""
    with pytest.raises(ValueError, match=next(iter(change))):
        TrainConfig(**change)
