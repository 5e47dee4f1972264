"""The recurrent layers in C++, for training, reading and writing on a CPU.

An option: whatever they do, `handtraj.layers` does too, more slowly.
"""

from handtraj.native.build import CompilerError, compiled_already, compiled_layers
from handtraj.native.layers import CompiledLSTM, CompiledWindowedLayer

__all__ = [
    "CompiledLSTM",
    "CompiledWindowedLayer",
    "CompilerError",
    "compiled_already",
    "compiled_layers",
]
