"""What every benchmark needs: the machine's own peak, programs in processes of their own, a table and a file."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).parent / "results"
HIGHER = "higher==0.2.1"


def clock(kind: str) -> float:
    """Return seconds of wall-clock time, or of processor time, which other programs on the machine disturb less."""
    return time.perf_counter() if kind == "wall" else time.process_time()


def matmul_peak(kind: str, size: int = 1024, seconds: float = 1.0) -> float:
    """Return the most floating-point operations a second that a large matrix product reached."""
    import torch

    left, right = torch.randn(size, size), torch.randn(size, size)
    best, end = 0.0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = clock(kind)
        for _ in range(5):
            left @ right
        best = max(best, 5 * 2 * size**3 / (clock(kind) - start))
    return best


def machine(**more: Any) -> dict[str, Any]:
    """Describe the machine by what it can do, not by its name."""
    import torch

    return {
        "cores": os.cpu_count(),
        "threads": torch.get_num_threads(),
        "vector_instructions": torch.backends.cpu.get_cpu_capability(),
        "load_average": round(os.getloadavg()[0], 1),
        "system": platform.system(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        **more,
    }


class Worker:
    """A Python program in a process of its own, which answers each line that it is sent with a line of JSON."""

    def __init__(self, arguments: Sequence[str], threads: int, path: str | None = None):
        environment = os.environ | {"OMP_NUM_THREADS": str(threads), "PYTHONWARNINGS": "ignore"}
        if path is not None:
            environment["PYTHONPATH"] = path
        pipe = subprocess.PIPE
        self._process = subprocess.Popen(
            [sys.executable, *arguments], stdin=pipe, stdout=pipe, text=True, env=environment
        )

    def ask(self, question: str = "") -> Any:
        """Send one line and wait for the answer."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(question + "\n")
        self._process.stdin.flush()
        answer = self._process.stdout.readline()
        if not answer:
            raise SystemExit(f"{' '.join(map(str, self._process.args))} failed, see above")
        return json.loads(answer)

    def close(self) -> None:
        """Let the program come to its end."""
        self._process.communicate()


def install(folder: str, peers: Mapping[str, Sequence[str]]) -> dict[str, str]:
    """Install the packages of each peer into a folder; return why those failed that did."""
    failed = {}
    for peer, packages in peers.items():
        command = [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--target", folder, *packages]
        done = subprocess.run(command, capture_output=True, text=True)
        if done.returncode:
            failed[peer] = done.stderr.strip().splitlines()[-1]
    return failed


def spread(values: Iterable[float]) -> dict[str, float]:
    """Return the quartiles of some numbers."""
    lower, median, upper = statistics.quantiles(values, n=4, method="inclusive")
    return {"median": median, "lower": lower, "upper": upper}


def report(
    name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[str]], result: dict[str, Any]
) -> None:
    """Print a table and write `results/NAME.json`."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title)
    for index, column in enumerate(columns):
        table.add_column(column, justify="right" if index else "left")
    for row in rows:
        table.add_row(*row)
    Console(width=120).print(table)
    RESULTS.mkdir(exist_ok=True)
    (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n")
