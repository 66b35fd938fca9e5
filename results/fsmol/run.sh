#!/usr/bin/env bash
# Acquire priors on the training assays of FS-Mol, then score them and the controls on all test tasks.
# An idle core takes about a second for three steps of the probe; 6,000 steps see every training assay 150 times.
set -euo pipefail
runs=${1:-runs/fsmol}
steps=${2:-6000}

acquire() { # NAME OPTIONS...
    local out="$runs/$1"
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks fsmol --validations 10 --validation_tasks 39 --seed 0 --out "$out" "${@:2}"
    touch "$out/finished"
}

# Few molecules of many assays at each step: the head of an assay that is seldom drawn hardly leaves where it began.
acquire multitask_probe --prior multitask_probe --tasks.shots 4 --tasks.queries 4 --tasks_per_step 128 --steps "$steps"
for prior in protonet ridge; do
    acquire "$prior" --prior "$prior" --net mlp --net.hidden "[1024,512]" --net.norm layer --net.dropout 0.2 --steps "$steps"
done
acquire maml --prior maml --net mlp --net.hidden "[256,256]" --steps "$((steps / 4))"

python "$(dirname "$0")/score.py" "$runs"
