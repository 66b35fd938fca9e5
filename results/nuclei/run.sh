#!/usr/bin/env bash
# Acquire the memory, its twin that is told nothing, MAML and the pooled U-Net on microscope images, with three seeds and
# one CPU thread each, then score them and a U-Net from scratch. Steps are such that each takes about two minutes of an
# idle core.
set -euo pipefail
runs=${1:-runs/nuclei}
seeds=${2:-0 1 2}
share=${3:-100} # percent of the steps; for a trial

acquire() { # NAME STEPS OPTIONS...
    local name=$1 steps=$(($2 * share / 100))
    shift 2
    local out="$runs/$name-$seed"
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks nuclei --tasks.size 32 --tasks.field 64 --net unet --net.widths "[8,16,32]" --steps "$steps" \
        --learning_rate 0.003 --validations 0 --threads 1 --seed "$seed" --out "$out" "$@"
    touch "$out/finished"
}

# Cells at the two coarser scales: those at the finest would take half of the time.
where=(--prior.where '^(encoder\.[12]|decoder\.0)$')
for seed in $seeds; do
    stream=(--tasks.shots 11 --delay 1 --tasks_per_step 4)
    acquire memory 400 --prior distributed_memory "${where[@]}" "${stream[@]}"
    acquire memory,told-nothing 450 --prior distributed_memory --prior.feedback none "${where[@]}" "${stream[@]}"
    acquire maml 120 --prior maml --prior.step_size 0.1 --prior.inner_steps 3 --tasks.shots 5 --tasks_per_step 4
    acquire fine_tune 1200 --prior fine_tune --tasks.shots 5 --tasks_per_step 4
done

python "$(dirname "$0")/score.py" "$runs"
