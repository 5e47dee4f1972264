"""How a neural network holds a handwriting: write, prime, and read the state.

>>> import torch
>>> import handtraj as ht
>>> writer = ht.load_writer()
>>> writing = writer.write("hello", generator=torch.Generator().manual_seed(1))
>>> writing.finished
True
"""

from handtraj.alphabet import Alphabet, wrap
from handtraj.batches import SamplingConfig
from handtraj.checkpoint import Checkpoint, CheckpointError, load_checkpoint, save_checkpoint
from handtraj.corpus import Corpus, build_corpus, load_corpus, save_corpus
from handtraj.ink import Ink, normalise
from handtraj.mixture import Mixture
from handtraj.network import Network, NetworkConfig, State
from handtraj.recording import read, record
from handtraj.sources import Line
from handtraj.style import Style, load_style, shipped_styles
from handtraj.subspaces import Subspace
from handtraj.svg import svg_document
from handtraj.training import TrainConfig, TrainingError, train
from handtraj.trajectories import Trajectories
from handtraj.writing import Writer, Writing, load_writer

__version__ = "0.1.0"

__all__ = [
    "Alphabet",
    "Checkpoint",
    "CheckpointError",
    "Corpus",
    "Ink",
    "Line",
    "Mixture",
    "Network",
    "NetworkConfig",
    "SamplingConfig",
    "State",
    "Style",
    "Subspace",
    "TrainConfig",
    "TrainingError",
    "Trajectories",
    "Writer",
    "Writing",
    "build_corpus",
    "load_checkpoint",
    "load_corpus",
    "load_style",
    "load_writer",
    "normalise",
    "read",
    "record",
    "save_checkpoint",
    "save_corpus",
    "shipped_styles",
    "svg_document",
    "train",
    "wrap",
]
