"""Make the repertoires of the examples: `python examples/make_repertoires.py`."""

import csv
import random
from pathlib import Path

HERE = Path(__file__).parent
LETTERS = "ARNDCQEGHILKMFPSTWYV"
SEQUENCES, WITNESSES = 20, 2


def repertoire(draw, motifs):
    """Return random CDR3, some of which have each of the motifs."""
    found = ["".join(draw.choices(LETTERS, k=draw.randint(8, 12))) for _ in range(SEQUENCES)]
    for at, motif in enumerate(motif for motif in motifs for _ in range(WITNESSES)):
        place = draw.randint(1, 4)
        found[at] = found[at][:place] + motif + found[at][place + len(motif) :]
    draw.shuffle(found)
    return ";".join(f"C{text}F" for text in found)


def main():
    """Write repertoires with four old diseases, 24 with a new one and without it, and 30 to predict."""
    draw = random.Random(0)
    motifs = ["".join(draw.sample(LETTERS, 4)) for _ in range(5)]
    old, new = [], []
    for at in range(80):
        ill = [draw.randint(0, 1) for _ in motifs[:4]]
        had = [motif for motif, one in zip(motifs, ill, strict=False) if one]
        old.append((f"p{at:02}", repertoire(draw, had), *ill))
    for at in range(54):
        new.append((f"q{at:02}", repertoire(draw, motifs[4:] if at % 2 else []), at % 2))
    files = {
        "old": (("patient", "repertoire", "disease_a", "disease_b", "disease_c", "disease_d"), old),
        "labelled": (("patient", "repertoire", "disease_e"), new[:24]),
        "new": (("patient", "repertoire"), [row[:2] for row in new[24:]]),
    }
    for name, (columns, lines) in files.items():
        with open(HERE / f"repertoires_{name}.csv", "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *lines])


if __name__ == "__main__":
    main()
