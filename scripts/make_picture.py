"""Draw the README's picture: one sentence in several of the shipped styles."""

from pathlib import Path

import torch

import handtraj as ht

TARGET = Path(__file__).resolve().parent.parent / "book" / "images" / "readme.svg"
TEXT = "a network that holds a hand"


def main() -> None:
    """Write the picture in a blue that light and dark pages bear."""
    writer = ht.load_writer()
    styles = [ht.load_style(path) for path in ht.shipped_styles().values()][:5]
    generator = torch.Generator().manual_seed(7)
    writings = writer.write_many([TEXT] * len(styles), styles=styles, bias=1.0, generator=generator)
    picture = ht.svg_document(
        [w.ink for w in writings], scale=16, spacing=4.5, title=TEXT, colour="#3b82c4"
    )
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(picture, encoding="utf-8")


if __name__ == "__main__":
    main()
