"""What importing metaprior takes beyond importing torch, and which of its imports take longest.

python benchmarks/import_time.py
"""

import argparse
import json
import re
import statistics
import subprocess
import sys

from measure import Worker, machine, report, spread

PROGRAM = """
import json, time
wall, cpu = time.perf_counter(), time.process_time()
import {}
print(json.dumps({{"wall": time.perf_counter() - wall, "cpu": time.process_time() - cpu}}))
"""
MODULES = {"torch": "torch", "metaprior": "torch, metaprior", "the command line": "torch, metaprior.cli"}


def seconds(modules):
    worker = Worker(["-c", PROGRAM.format(modules)], threads=1)
    answer = worker.ask()
    worker.close()
    return answer


def slowest(count=8):
    """Return the packages that `import metaprior` adds to torch, by the milliseconds that they take themselves."""
    program = "import torch; print('-' * 9, file=__import__('sys').stderr); import metaprior"
    done = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", program], capture_output=True, text=True, check=True
    )
    own = {}
    for microseconds, module in re.findall(r"import time:\s+(\d+) \|\s+\d+ \|\s+(\S+)", done.stderr.split("-" * 9)[1]):
        package = ".".join(module.split(".")[:2]) if module.startswith("torch.") else module.split(".")[0]
        own[package] = own.get(package, 0) + int(microseconds) / 1000
    return dict(sorted(own.items(), key=lambda item: -item[1])[:count])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--clock", choices=["wall", "cpu"], default="wall")
    options = parser.parse_args()
    rounds = [
        {name: seconds(modules)[options.clock] for name, modules in MODULES.items()} for _ in range(options.rounds + 1)
    ][1:]
    beyond = {
        name: statistics.median(each[name] for each in rounds) - statistics.median(each["torch"] for each in rounds)
        for name in MODULES
    }
    result = {
        "what": "seconds to import in a fresh interpreter, compiled files present",
        "settings": vars(options),
        "machine": machine(),
        "seconds": {name: spread(each[name] for each in rounds) for name in MODULES},
        "beyond_torch": beyond,
        "slowest_milliseconds": slowest(),
    }
    cells = [[name, f"{values['median']:.2f}", f"{beyond[name]:.3f}"] for name, values in result["seconds"].items()]
    report("import_time", "Import, fresh interpreter", ["", f"s ({options.clock})", "beyond torch"], cells, result)
    print("slowest, in milliseconds of their own:", json.dumps(result["slowest_milliseconds"]))


if __name__ == "__main__":
    main()
