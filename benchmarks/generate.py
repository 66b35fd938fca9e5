"""From a sentence to a mesh and a film, as a user calls for them: `metaprior generate` in fresh processes.

python benchmarks/generate.py
"""

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from measure import machine, report, spread

PROMPT = "a shiny red torus on a blue box"


def seconds(*command):
    """Return how long a program takes from its call to its end, by the clock on the wall."""
    start = time.perf_counter()
    subprocess.run([sys.executable, *command], check=True, capture_output=True)
    return time.perf_counter() - start


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        mesh, film = Path(folder, "torus.glb"), Path(folder, "torus.mp4")
        generate = ("-m", "metaprior", "generate", PROMPT)
        rows = {
            "import torch": ("-c", "import torch"),
            "a picture": (*generate, "--out", str(Path(folder, "torus.png"))),
            "a mesh": (*generate, "--out", str(mesh)),
            "a mesh and a film": (*generate, "--out", str(mesh), "--turntable", str(film)),
            "the same with one thread": (*generate, "--out", str(mesh), "--turntable", str(film), "--threads", "1"),
        }
        rounds = [{name: seconds(*command) for name, command in rows.items()} for _ in range(options.rounds + 1)][1:]
    result = {
        "what": f"seconds of wall-clock time of 'metaprior generate \"{PROMPT}\"' in a fresh process",
        "settings": vars(options),
        "machine": machine(),
        "seconds": {name: spread(each[name] for each in rounds) for name in rows},
    }
    cells = [
        [name, f"{values['median']:.1f}", f"{values['median'] / result['seconds']['import torch']['median']:.1f}"]
        for name, values in result["seconds"].items()
    ]
    report("generate", "From a sentence to files", ["", "s", "times 'import torch'"], cells, result)


if __name__ == "__main__":
    main()
