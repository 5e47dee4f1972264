"""Figures of the last chapter: recorded results, each beside what it must beat."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from handtraj.charts.base import Chart, Picture
from handtraj.charts.evidence import evidence, evidence_row, table
from handtraj.charts.plots import lines

__all__ = ["aligned", "emerging", "letters_named", "moved", "planted", "robust", "seen_in_states"]

Result = Mapping[str, Any]


def moved(result: Result) -> Chart:
    """Whose hand a line is in after one push (result "swaps")."""
    pushed = result["swaps"]
    return evidence(
        [
            evidence_row("A left alone: A", "ceiling", result["undisturbed"]["old"]),
            evidence_row("B throughout: B", "ceiling", result["new style throughout"]["new"]),
            evidence_row("A pushed in layer 2: B", "found", pushed["c2"]["new"]),
            evidence_row("in layer 1: B", "control", pushed["c1"]["new"]),
            evidence_row("in layer 3: B", "control", pushed["c3"]["new"]),
            evidence_row("random direction: B", "control", pushed["c2, random direction"]["new"]),
            evidence_row("A left alone: B", "chance", result["undisturbed"]["new"]),
        ],
        "share of lines the judge gives to that hand",
        domain=(0, 1),
    )


def aligned(result: Result, dimension: int = 10) -> Chart:
    """Alignment of styles by layer beside ceiling and random spaces (result "styles")."""
    rows = []
    for layer, found in result["layers"].items():
        at = found["alignment"]["raw"][str(dimension)]
        rows.append(evidence_row(f"{layer}, same style", "ceiling", at["same"]))
        rows.append(evidence_row(f"{layer}, other style", "found", at["other within"]))
        rows.append(evidence_row(f"{layer}, random space", "control", at["random"]))
    return evidence(rows, f"alignment index, {dimension} dimensions", domain=(0.4, 1))


def seen_in_states(result: Result) -> Picture:
    """Place and space of styles by layer, as a table (result "styles")."""
    rows = []
    for layer, found in result["layers"].items():
        named = found["decoding"]
        rows.append(
            {
                "layer": layer,
                "variance between means": found["means"]["between"],
                "shuffled in source": found["means"]["null"],
                "named from one state": named["state"],
                "named from covariance": named["writing covariance"],
                "a guess": named["state"]["chance"],
            }
        )
    return table(rows)


def letters_named(result: Result, layers: Sequence[str] = ("h1", "h2", "c2", "h3")) -> Chart:
    """Letters named within a style and across styles (result "letters")."""
    rows = []
    for layer in layers:
        found = result["layers"][layer]
        named = found["decoding"]
        rows.append(evidence_row(f"{layer}, within a style", "ceiling", named["within"]))
        rows.append(evidence_row(f"{layer}, across, raw", "found", named["raw"]))
        rows.append(evidence_row(f"{layer}, means removed", "found", named["centred"]))
        rows.append(evidence_row(f"{layer}, rotated", "found", named["procrustes"]))
        rows.append(evidence_row(f"{layer}, a guess", "chance", found["chance"]))
    return evidence(rows, "letters named rightly", domain=(0, 1))


def planted(result: Result, layer: str = "c2") -> Chart:
    """What was planted, told from ink and from states (result "known_answer")."""
    rows = []
    for name in result["planted"]:
        # Size is divided out before the network sees the ink.
        role = "control" if name == "size" else "found"
        rows.append(evidence_row(f"{name}, prime's ink", "ceiling", result["from_the_prime"][name]))
        rows.append(evidence_row(f"{name}, its writing", role, result["from_the_written"][name]))
        rows.append(evidence_row(f"{name}, its state", role, result["from_states"][layer][name]))
    return evidence(rows, "correlation with what was planted", domain=(-0.6, 1))


def emerging(result: Result, layer: str = "c2") -> Chart:
    """Style and letters named from single states over a training (result "emergence")."""
    rows: dict[str, list[Any]] = {"points": [], "share": [], "what": []}
    for one in result["networks"]:
        if not one["points"]:
            continue
        wrote = one["writing"][layer]
        curves = {
            "style, while writing": wrote["state"]["value"],
            "style, while reading": one["reading"][layer]["state"]["value"],
            "letters, while writing": (wrote["letters"] or {"value": 0.0})["value"],
            "a guess at style": one["chance"],
        }
        for name, value in curves.items():
            rows["points"].append(one["points"] / 1e6)
            rows["share"].append(value)
            rows["what"].append(name)
    titles = ("million points seen", f"named rightly from {layer}")
    return lines(rows, x="points", y="share", group="what", titles=titles, log=True)


def robust(result: Result) -> Picture:
    """The same measures of several networks, as a table (result "robustness")."""
    return table(
        [
            {
                "network": one["name"],
                "million points": (one["points"] or 0) / 1e6,
                "style, one state (c2)": one["writing"]["c2"]["state"],
                "in layer 1 (h1)": one["writing"]["h1"]["state"],
                "gap of alignment (h2)": one["writing"]["h2"]["apart"],
                "letters (c2)": one["writing"]["c2"]["letters"] or "none",
                "style, reading (c2)": one["reading"]["c2"]["state"],
            }
            for one in result["networks"]
        ]
    )
