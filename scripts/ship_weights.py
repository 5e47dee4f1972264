"""Turn a training run into the weights that ship with the package.

    python scripts/ship_weights.py RUN CORPUS [--after [RECORD]] [--note TEXT]

With --after, the run began from other weights (`--init-from`), those shipped or
those of RECORD: its points, updates and legs are counted on from theirs.  With
--record FILE the record alone is written, for a later run to be counted on.

Writes `handtraj/assets/weights.safetensors` (averaged weights, float16) and
`handtraj/assets/training.json` (learning curve, held-out likelihood,
provenance).
"""

from __future__ import annotations

import argparse
import json
import subprocess
from datetime import date
from pathlib import Path

import numpy as np
import torch

import handtraj as ht
from handtraj.checkpoint import file_hash
from handtraj.ink import replace_file
from handtraj.loss import mean_nats, validation_batches
from handtraj.training import describe_machine

#: Settings that are named in the command only where they are used.
NOISES = ("weight_noise", "dropout")


def curve(log: Path, every: int = 25) -> tuple[list[dict], list[dict]]:
    """Mean training nats of every `every` updates, and all validations."""
    rows = [json.loads(row) for row in log.read_text().splitlines()]
    learned = [row for row in rows if "nats" in row]
    training = [
        {
            "points": block[-1]["points"],
            "nats": round(float(np.mean([row["nats"] for row in block])), 4),
        }
        for block in (learned[i : i + every] for i in range(0, len(learned), every))
    ]
    keys = ("update", "points", "seconds", "validation_line", "validation_word")
    return training, [{k: r[k] for k in keys if k in r} for r in rows if "validation_line" in r]


def without_folders(command: str) -> str:
    """The command with file names only: folders are the machine's business."""
    return " ".join(word.rsplit("/", 1)[-1] for word in command.split())


def extras(sampling: dict) -> str:
    """Options of sampling that differ from the usual ones."""
    usual = ht.SamplingConfig()
    words = [f" --words {sampling['words']}"] if sampling.get("words") != usual.words else []
    words += [f" --writer {sampling['writer']}"] if sampling.get("writer") else []
    shares = ("lines", "composed", "joined")
    words += [f" --{k} {sampling[k]}" for k in shares if sampling.get(k) != getattr(usual, k)]
    words += [f" --{k} {v}" for k, v in sampling["augmentation"].items() if v]
    return "".join(words)


def shifted(row: dict, before: dict) -> dict:
    """A row of the log, or a leg, counted on from an earlier run."""
    add = {"update": "updates", "last_update": "updates", "last_points": "points"}
    add |= {"points": "points", "leg": "legs", "seconds": "seconds"}
    return {k: v + before[add[k]] if k in add else v for k, v in row.items()}


def counted_on(record: dict, earlier: dict) -> dict:
    """The record of a run that began where an earlier one ended."""
    old, new = earlier["provenance"], record["provenance"]
    before = {
        "updates": old["updates"],
        "points": old["points"],
        "legs": len(old.get("legs", [])),
        "seconds": earlier["validation"][-1]["seconds"],
    }
    about = {
        **shifted(new, {**before, "updates": 0}),
        "updates": new["updates"] + old["updates"],
        "legs": old.get("legs", []) + [shifted(leg, before) for leg in new["legs"]],
        "began_from": {k: old[k] for k in ("command", "updates", "points", "note") if k in old},
    }
    return {
        **record,
        "validation": earlier["validation"] + [shifted(r, before) for r in record["validation"]],
        "training": earlier["training"] + [shifted(r, before) for r in record["training"]],
        "provenance": about,
    }


def main() -> None:
    """Convert, measure, write."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("run", type=Path)
    parser.add_argument("corpus", type=Path)
    parser.add_argument(
        "--after",
        type=Path,
        nargs="?",
        const=Path(ht.__file__).parent / "assets" / "training.json",
        help="begun from other weights; their record, default: that of the shipped ones",
    )
    parser.add_argument("--record", type=Path, help="write the record there and ship nothing")
    parser.add_argument("--note", default="", help="what a reader of the provenance must know")
    parser.add_argument("--to", type=Path, help="keep the weights there and ship nothing")
    arguments = parser.parse_args()
    checkpoint = ht.load_checkpoint(arguments.run / "best.safetensors")
    corpus = ht.load_corpus(arguments.corpus)
    assets = Path(ht.__file__).parent / "assets"
    commit = subprocess.run(
        ["git", "rev-parse", "HEAD"], capture_output=True, text=True, check=True
    )
    settings = checkpoint.provenance["train"]
    about = {
        **checkpoint.provenance,
        "command": f"handtraj train unipen.npz -o run --points {settings['points']} "
        f"--decay {settings['decay_share']} --rate {settings['rate']} "
        f"--batch-points {settings['sampling']['points']} "
        f"--longest {settings['sampling']['longest']} --seed {settings['seed']}"
        + extras(settings["sampling"])
        + "".join(f" --{k.replace('_', '-')} {settings[k]}" for k in NOISES if settings.get(k))
        + (" --init-from before.safetensors" if arguments.after else ""),
        "legs": [
            {**leg, "command": without_folders(leg["command"])}
            for leg in checkpoint.provenance.get("legs", [])
        ],
        "corpus": "UNIPEN train_r01_v07, CC BY 4.0 (Guyon et al. 1994)",
        "corpus_sha256": file_hash(arguments.corpus),
        "commit": commit.stdout.strip(),
        "machine": describe_machine(torch.device("cpu")),
        "date": date.today().isoformat(),
        "note": arguments.note,
    }
    if arguments.to is not None:
        kept = ht.Checkpoint(checkpoint.network, checkpoint.alphabet, checkpoint.scale, about)
        ht.save_checkpoint(arguments.to, kept, half=True)
        return
    training, validation = curve(arguments.run / "log.jsonl")
    record = {
        "units": f"nats per point, dequantised offsets divided by {checkpoint.scale} x-heights",
        "held_out": {},
        "validation": validation,
        "training": training,
        "provenance": about,
    }
    if arguments.after:
        record = counted_on(record, json.loads(arguments.after.read_text()))
    if arguments.record is not None:
        arguments.record.write_text(json.dumps(record))
        return
    shipped = ht.Checkpoint(
        checkpoint.network, checkpoint.alphabet, checkpoint.scale, record["provenance"]
    )
    ht.save_checkpoint(assets / "weights.safetensors", shipped, half=True)
    again = ht.load_checkpoint(assets / "weights.safetensors")
    device = torch.device("cpu")
    held_out: dict[str, dict] = {}
    for split in ("text", "validation", "test"):
        for kind in ("line", "word"):
            batches = validation_batches(
                corpus, again.alphabet, again.scale, split=split, kind=kind, limit=100
            )
            if batches:
                held_out[f"{split}_{kind}"] = {
                    "nats_per_point": round(mean_nats(again.network, batches, device), 4),
                    "points": int(sum(b.mask[1:].sum() for b in batches)),
                    "items": sum(b.mask.shape[1] for b in batches),
                }
    record["held_out"] = held_out
    text = json.dumps(record, indent=1)
    replace_file(assets / "training.json", lambda stream: stream.write(text.encode()))
    print(f"{record['provenance']['points']} points;", json.dumps(held_out, indent=1))


if __name__ == "__main__":
    main()
