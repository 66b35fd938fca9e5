#!/usr/bin/env bash
# Acquire four priors on roaming streams of Omniglot, one CPU thread each, then let them follow streams of new characters.
# Steps are such that each takes about ten minutes on an idle core.
set -euo pipefail
runs=${1:-runs/roaming}
seeds=${2:-0}

acquire() { # NAME STEPS OPTIONS...
    local name=$1 steps=$2
    shift 2
    local out="$runs/$name-$seed"
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks roaming --net conv4 --net.width 32 --net.norm group --tasks_per_step 2 --clip 1 \
        --steps "$steps" --validations 12 --validation_tasks 10 --threads 1 --seed "$seed" --out "$out" "$@"
    touch "$out/finished"
}

for seed in $seeds; do
    acquire fast 600 --prior fast_weights
    acquire protonet 1300 --prior protonet
    acquire cpm 320 --prior cpm
    acquire lstm 3000 --prior lstm
done

python "$(dirname "$0")/score.py" "$runs"
