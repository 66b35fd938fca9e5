"""Make the receptors of the examples: `python examples/make_receptors.py`."""

import csv
import random
from pathlib import Path

HERE = Path(__file__).parent
LETTERS = "ARNDCQEGHILKMFPSTWYV"
POLAR = "RNDQEGHKST"


def receptor(draw, motif=""):
    """Return a CDR3 with a motif in its middle."""
    inner = "".join(draw.choices(POLAR + "AGGSS", k=8 - len(motif)))
    return f"CASS{inner[:2]}{motif}{inner[2:]}EQYF"


def rows(draw, epitope, motif, count):
    """Return different receptors of one epitope, half of which have its motif."""
    found = {}
    while len(found) < count:
        binds = len(found) % 2
        found.setdefault(receptor(draw, motif if binds else ""), (epitope, binds))
    found = [(text, *told) for text, told in found.items()]
    draw.shuffle(found)
    return found


def main():
    """Write receptors of 24 epitopes, 30 labelled ones of another epitope, and 80 of it to predict."""
    draw = random.Random(0)
    epitopes = ["".join(draw.choices(LETTERS, k=9)) for _ in range(25)]
    motifs = ["".join(draw.sample("FILMVWYRKDE", 3)) for _ in epitopes]
    *old, new = zip(epitopes, motifs, strict=True)
    asked = rows(draw, *new, 110)
    files = {
        "old": (("cdr3", "epitope", "binds"), [row for pair in old for row in rows(draw, *pair, 40)]),
        "epitope": (("id", "cdr3", "epitope", "binds"), [(f"r{at:02}", *row) for at, row in enumerate(asked[:30])]),
        "repertoire": (("id", "cdr3"), [(f"r{at:03}", row[0]) for at, row in enumerate(asked[30:], 30)]),
    }
    for name, (columns, lines) in files.items():
        with open(HERE / f"receptors_{name}.csv", "w", newline="") as file:
            csv.writer(file, lineterminator="\n").writerows([columns, *lines])


if __name__ == "__main__":
    main()
