"""Make the small files of this folder again: `python examples/make.py`, with Omniglot on this machine."""

import csv
import math
import shutil
from pathlib import Path

import numpy as np
from PIL import Image

from metaprior import data
from metaprior.tasks import omniglot

HERE = Path(__file__).parent


def draw(folder: Path, ink: np.ndarray, names: list[str]) -> None:
    """Write drawings as PNG files, black on white."""
    folder.mkdir(parents=True, exist_ok=True)
    for drawing, name in zip(ink, names, strict=True):
        Image.fromarray(~drawing).convert("1").save(folder / f"{name}.png", optimize=True)


def pictures() -> None:
    """Drawings of Omniglot (MIT licence): one alphabet to acquire on, five characters of another to adapt to."""
    path = data.need("omniglot", "images_background.npz")
    ink, alphabets = omniglot._read_packed(path, "background")
    sizes = alphabets.bincount()
    tagalog = int((sizes == 17).nonzero()[0])
    for folder in ("alphabet", "characters"):
        shutil.rmtree(HERE / folder, ignore_errors=True)
    for number, character in enumerate((alphabets == tagalog).nonzero().flatten().tolist()[:16]):
        draw(
            HERE / "alphabet" / f"character-{number + 1:02}", ink[character, :8], [f"drawing-{n}" for n in range(1, 9)]
        )
    hebrew = int((sizes == 22).nonzero()[-1])
    for name, character in zip("ABCDE", (alphabets == hebrew).nonzero().flatten().tolist()[:10:2], strict=True):
        draw(HERE / "characters" / "support" / name, ink[character, :1], ["drawing-1"])
        draw(HERE / "characters" / "query", ink[character, 5:8], [f"really-{name}-{n}" for n in range(1, 4)])


def assays() -> None:
    """Simulated dose-response curves: each assay has its own half-maximal dose and top; some values are missing."""
    random = np.random.default_rng(0)

    def rows(assay: str, count: int) -> list[dict[str, object]]:
        half, top = random.uniform(-1.5, 1.5), random.uniform(0.5, 2)
        made = []
        for _ in range(count):
            dose, solvent = random.uniform(-3, 3), random.choice(["water", "DMSO", "ethanol"])
            weight = random.normal(350, 60)
            response = top / (1 + math.exp(-2 * (dose - half))) + {"water": 0, "DMSO": 0.2, "ethanol": -0.2}[solvent]
            row: dict[str, object] = {"assay": assay} if assay.startswith("assay") else {}
            row |= {"log_dose": f"{dose:.3f}", "solvent": solvent}
            row["weight"] = "" if random.random() < 0.1 else f"{weight:.0f}"
            made.append(row | {"response": f"{response + random.normal(0, 0.05):.3f}"})
        return made

    old = [row for number in range(30) for row in rows(f"assay-{number + 1:02}", 24)]
    new = rows("new", 18)
    library = [{key: value for key, value in row.items() if key != "response"} for row in new[10:]]
    for name, made in (("assays.csv", old), ("new_assay.csv", new[:10]), ("library.csv", library)):
        with open(HERE / name, "w", newline="") as file:
            writer = csv.DictWriter(file, fieldnames=list(made[0]), lineterminator="\n")
            writer.writeheader()
            writer.writerows(made)


if __name__ == "__main__":
    pictures()
    assays()
