#!/usr/bin/env bash
# Acquire priors on the training assays of FS-Mol, then score them and the controls on all test tasks. The third argument
# is how many supports of each size are drawn from each task.
set -euo pipefail
runs=${1:-runs/fsmol}
steps=${2:-6000}
draws=${3:-10}

acquire() { # NAME OPTIONS...
    local out="$runs/$1"
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks fsmol --validations 0 --threads 1 --out "$out" "${@:2}"
    touch "$out/finished"
}

# Few molecules of many assays at each step: the head of an assay that is seldom drawn hardly leaves where it began.
probe=(--prior multitask_probe --tasks.shots 2 --tasks.queries 2 --tasks_per_step 256 --tasks.by_size true)
for seed in 0 1; do
    name=multitask_probe
    [[ $seed -gt 0 ]] && name="$name,$seed"
    acquire "$name" "${probe[@]}" --learning_rate 0.002 --steps "$steps" --seed "$seed"
done
# Others that see pairs and chains of atoms; and RDKit's descriptors beside the fingerprint, where the probe sees what the
# network makes of them alone.
acquire multitask_probe,pairs "${probe[@]}" --learning_rate 0.002 --steps "$steps" --tasks.featuriser atom_pairs+torsions
acquire multitask_probe,descriptors "${probe[@]}" --learning_rate 0.002 --steps "$steps" --prior.inputs 0 \
    --tasks.featuriser morgan+descriptors

together() { # NAME RUN...
    [[ -e $runs/$1/finished ]] && return
    metaprior ensemble "${@:2}" --out "$runs/$1"
    touch "$runs/$1/finished"
}
together ensemble "$runs/multitask_probe" "$runs/multitask_probe,1"
together ensemble,pairs "$runs/multitask_probe" "$runs/multitask_probe,pairs"
together ensemble,pairs,descriptors "$runs/multitask_probe" "$runs/multitask_probe,pairs" "$runs/multitask_probe,descriptors"
together ensemble_of_three "$runs/multitask_probe" "$runs/multitask_probe,1" "$runs/multitask_probe,descriptors"

# Gaussian processes and Gaussian weights, from that network on, on whole assays.
later=(--start "$runs/multitask_probe" --learning_rate 0.0001 --tasks_per_step 8 --steps "$((steps / 10))")
acquire adkf --prior adkf "${later[@]}"
acquire "adkf,inputs" --prior adkf --prior.inputs 2048 "${later[@]}"
acquire dkt --prior dkt --prior.objective predictive "${later[@]}"
acquire niw_meta --prior niw_meta --prior.tasks 4935 "${later[@]}"

# Priors that learn from whole assays alone.
for prior in protonet ridge hopfield; do
    acquire "$prior" --prior "$prior" --net mlp --net.hidden "[1024,512]" --net.norm layer --net.dropout 0.2 --steps "$((steps / 4))"
done
acquire cnp --prior cnp --steps "$((steps / 4))"
acquire maml --prior maml --net mlp --net.hidden "[256,256]" --steps "$((steps / 8))"

python "$(dirname "$0")/score.py" "$runs" --draws "$draws"
