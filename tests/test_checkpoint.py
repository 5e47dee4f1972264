"""Weights on disk: round trips, and every way a file can be wrong."""

import pytest
import torch
from helpers import small_checkpoint
from safetensors.torch import save_file

from handtraj.alphabet import Alphabet
from handtraj.checkpoint import (
    Checkpoint,
    CheckpointError,
    file_hash,
    load_checkpoint,
    save_checkpoint,
    write_tensors,
)


@pytest.fixture
def saved(tmp_path):
    """A checkpoint on disk."""
    path = tmp_path / "weights.safetensors"
    save_checkpoint(path, small_checkpoint())
    return path


def test_round_trip_is_exact(saved):
    """Weights, configuration, alphabet, scale and provenance come back."""
    before, after = small_checkpoint(), load_checkpoint(saved)
    assert after.network.config == before.network.config
    assert (after.alphabet, after.scale) == (before.alphabet, before.scale)
    assert after.provenance == before.provenance
    for name, value in before.network.state_dict().items():
        assert torch.equal(value, after.network.state_dict()[name])


def test_half_precision_halves_the_file(saved, tmp_path):
    """float16 on disk, float32 in memory, to the precision of float16."""
    half = tmp_path / "half.safetensors"
    save_checkpoint(half, small_checkpoint(units=64), half=True)
    full = tmp_path / "full.safetensors"
    save_checkpoint(full, small_checkpoint(units=64))
    assert half.stat().st_size < 0.6 * full.stat().st_size
    loaded = load_checkpoint(half).network.head.weight
    assert loaded.dtype == torch.float32
    expected = small_checkpoint(units=64).network.head.weight
    torch.testing.assert_close(loaded, expected, atol=2e-4, rtol=1e-3)


@pytest.mark.parametrize("keep", [0, 4, 100, -1])
def test_cut_short_file_is_refused(saved, keep):
    """Whatever is left of the file, one clear error."""
    saved.write_bytes(saved.read_bytes()[:keep])
    with pytest.raises(CheckpointError, match="cut short"):
        load_checkpoint(saved)


def test_missing_file_is_refused(tmp_path):
    """The message names the file."""
    with pytest.raises(CheckpointError, match=r"nowhere.safetensors does not exist"):
        load_checkpoint(tmp_path / "nowhere.safetensors")


def test_foreign_safetensors_file_is_refused(tmp_path):
    """Tensors of another project are not weights."""
    save_file({"a": torch.zeros(2)}, tmp_path / "other.safetensors")
    with pytest.raises(CheckpointError, match="not one of handtraj"):
        load_checkpoint(tmp_path / "other.safetensors")


def test_file_of_another_kind_is_refused(tmp_path):
    """A style or a training state is not weights."""
    write_tensors(tmp_path / "s.safetensors", {"h": torch.zeros(1)}, {"kind": "style"})
    with pytest.raises(CheckpointError, match="'style'"):
        load_checkpoint(tmp_path / "s.safetensors")


def test_other_alphabet_is_refused(saved):
    """Both alphabets are named."""
    with pytest.raises(CheckpointError, match="another alphabet"):
        load_checkpoint(saved, alphabet=Alphabet("abc"))


def test_alphabet_that_does_not_fit_the_network_is_refused(tmp_path):
    """The number of codes must match."""
    wrong = Checkpoint(small_checkpoint().network, Alphabet("abc"), 0.4)
    save_checkpoint(tmp_path / "w.safetensors", wrong)
    with pytest.raises(CheckpointError, match="does not fit"):
        load_checkpoint(tmp_path / "w.safetensors")


def test_failed_write_leaves_the_old_file(saved, monkeypatch):
    """A full disk in the middle of writing changes nothing."""
    before = file_hash(saved)

    def fail(*_):
        raise OSError("no space left")

    monkeypatch.setattr("os.fsync", fail)
    with pytest.raises(OSError, match="no space"):
        save_checkpoint(saved, small_checkpoint(seed=5))
    assert file_hash(saved) == before
    assert [p.name for p in saved.parent.iterdir()] == [saved.name]
