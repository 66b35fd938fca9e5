#!/usr/bin/env bash
# Acquire priors on epitopes, alleles and read-outs, one CPU thread each, then score them and the controls on what was
# held out: half a minute of an idle core for most priors, some minutes for those of alleles.
set -euo pipefail
runs=${1:-runs/immunology}
folds=${2:-0 1 2 3 4 5 6 7 8 9}
here=$(dirname "$0")

acquire() { # NAME STEPS OPTIONS...
    local out="$runs/$1"
    [[ -e $out/finished ]] && return
    metaprior acquire --validations 0 --threads 1 --seed 0 --steps "$2" --out "$out" "${@:3}"
    touch "$out/finished"
}

net=(--net mlp --net.hidden "[256,128]" --net.dropout 0.2)
for fold in $folds; do
    tasks=(--tasks titan --tasks.fold "$fold")
    acquire "titan-$fold-multitask_probe" 600 --prior multitask_probe "${net[@]}" "${tasks[@]}" --tasks.shots 8 \
        --tasks.queries 8 --tasks_per_step 64
    acquire "titan-$fold-protonet" 600 --prior protonet "${net[@]}" "${tasks[@]}"
    acquire "titan-$fold-maml,epitope-beside" 400 --prior maml "${tasks[@]}" --tasks.about input --tasks.shots "[0,40]"
done

acquire "mhc-maml" 10000 --prior maml --tasks mhc --tasks_per_step 8
acquire "mhc-ridge" 10000 --prior ridge "${net[@]}" --tasks mhc --tasks.shots "[4,64]" --tasks_per_step 8
acquire "mhc-hypernet,described" 10000 --prior hypernet --tasks mhc --tasks.about task --tasks_per_step 8

for agonist in cGAMP CpG LPS; do
    acquire "immunomodulators-$agonist-multitask_probe" 300 --prior multitask_probe --tasks immunomodulators \
        --tasks.held_out "$agonist" --net mlp --net.hidden "[256,128]"
    acquire "immunomodulators-$agonist-ridge" 300 --prior ridge --net mlp --net.hidden "[256,128]" \
        --tasks immunomodulators --tasks.held_out "$agonist"
done

python "$here/score.py" "$runs" --folds $folds
