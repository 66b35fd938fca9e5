#!/usr/bin/env bash
# Acquire generators on the molecules of QM7, without labels, then score what they are worth. The second argument is how
# many steps they are acquired for.
set -euo pipefail
runs=${1:-runs/generative-molecules}
steps=${2:-20000}
seeds=${3:-"0 1"}

for seed in $seeds; do
    out="$runs/$seed"
    [[ -e $out/finished ]] && continue
    metaprior acquire --prior molecule_diffusion --net egnn --net.elements "[1,6,7,8,16]" --net.width 64 --net.layers 4 \
        --tasks qm7 --tasks.queries 200 --steps "$steps" --seed "$seed" --validation_tasks 4 --threads 1 --resume \
        --out "$out"
    touch "$out/finished"
done

python "$(dirname "$0")/score.py" "$runs"
