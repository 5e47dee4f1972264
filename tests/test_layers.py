"""The direction of imports: every module leans on earlier layers only."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "handtraj"

#: Earlier rows know nothing of later ones; modules of one row may know each other.
LAYERS = [
    (
        "strokes",
        "ink",
        "svg",
        "alphabet",
        "augmentation",
        "mixture",
        "layers",
        "native",
        "subspaces",
    ),
    ("sources", "corpus", "network"),
    ("distributed", "drawing", "packing", "precision", "stepping"),
    ("batches", "checkpoint", "live", "loss", "style", "trainer", "training", "writing"),
    ("export", "recording", "results", "trajectories"),
    ("decoding", "dynamics", "interventions", "evaluation"),
    ("charts", "widgets"),
    ("__init__",),
    ("cli",),
    ("__main__",),
]
RANK = {name: rank for rank, row in enumerate(LAYERS) for name in row}
MODULES = sorted(PACKAGE.rglob("*.py"))


def part(path: Path) -> str:
    """The first name below the package: the unit the layers speak of."""
    return path.relative_to(PACKAGE).with_suffix("").parts[0]


def imported(path: Path) -> set[str]:
    """Parts of the package that a module imports when it is loaded."""
    found = set()
    for node in ast.parse(path.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.ImportFrom) and node.level == 0:
            names = [node.module or ""]
            if node.module == "handtraj":
                names = [f"handtraj.{alias.name}" for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        else:
            continue
        for name in names:
            head, _, rest = name.partition(".")
            if head == "handtraj":
                found.add(rest.split(".")[0] or "__init__")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_imports_earlier_layers_only(path: Path) -> None:
    """No import points up, and every part of the package has its place."""
    name = part(path)
    assert name in RANK, f"give {name} a place in LAYERS"
    for other in imported(path):
        assert RANK[other] <= RANK[name], f"{name} imports {other}, which stands above it"


@pytest.mark.parametrize("path", MODULES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_module_keeps_its_length(path: Path) -> None:
    """400 lines a module, 60 a function without its docstring."""
    source = path.read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 400
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.FunctionDef):
            first = node.body[1] if ast.get_docstring(node) and len(node.body) > 1 else node.body[0]
            length = (node.end_lineno or 0) - first.lineno + 1
            assert length <= 60, f"{node.name} has {length} lines"


def test_import_loads_no_plotting_package() -> None:
    """A plain import stays light."""
    code = (
        "import sys, handtraj;"
        "print(*[m for m in ('altair', 'IPython', 'ipywidgets', 'matplotlib', 'vl_convert')"
        " if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == ""
