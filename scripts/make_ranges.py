"""Measure what the network has seen: ranges of simple measures over the training lines.

Usage: python scripts/make_ranges.py CORPUS [OUT]

Writes the 0.5th and 99.5th percentile of every measure over the training part
of the corpus (lines and single words, as training draws both).
"""

from __future__ import annotations

import datetime
import json
import sys
from pathlib import Path

import numpy as np

from handtraj.corpus import load_corpus
from handtraj.ink import Ink, replace_file
from handtraj.sources.ink_file import measure_ink

OUT = Path(__file__).parents[1] / "handtraj" / "assets" / "ranges.json"
PERCENTILES = (0.5, 99.5)


def main() -> None:
    """Write the ranges."""
    if len(sys.argv) not in (2, 3):
        sys.exit(__doc__)
    corpus = load_corpus(sys.argv[1])
    out = Path(sys.argv[2]) if len(sys.argv) == 3 else OUT
    chosen = corpus.select("train")
    rows = [measure_ink(Ink(corpus.offsets(i)), corpus.texts[i]) for i in chosen]
    ranges = {
        name: np.round(np.percentile([row[name] for row in rows], PERCENTILES), 4).tolist()
        for name in rows[0]
    }
    document = {
        "command": "python scripts/make_ranges.py CORPUS",
        "corpus": corpus.about.get("name", ""),
        "part": "train, lines and words",
        "n": len(rows),
        "percentiles": PERCENTILES,
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "ranges": ranges,
    }
    text = json.dumps(document, indent=1) + "\n"
    replace_file(out, lambda stream: stream.write(text.encode()))
    print(f"{out}: {len(rows)} lines")


if __name__ == "__main__":
    main()
