#!/usr/bin/env bash
# The main job, and the prior of the zoo: about ten minutes.
set -euo pipefail
runs=${1:-runs}

make -C "$(dirname "$0")/../.." compare
metaprior acquire --prior protonet --tasks glyphs --tasks.ways 20 --tasks.queries 5 --tasks_per_step 2 --threads 1 \
    --budget 300 --validations 4 --validation_tasks 50 --out "$runs/glyphs/protonet"
