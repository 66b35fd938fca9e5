#!/usr/bin/env bash
# Acquire priors on the training assays of Tox21, SIDER and MUV, in both modes, one CPU thread each, then score them and
# the controls on the test assays.
set -euo pipefail
runs=${1:-runs/toxicity}
draws=${2:-20}

acquire() { # NAME STEPS OPTIONS...
    local out="$runs/$data-$mode/$1"
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks toxicity --tasks.dataset "$data" --tasks.mode "$mode" --threads 1 --seed 0 \
        --validations "$validations" --validation_tasks 40 --steps "$2" --out "$out" "${@:3}"
    touch "$out/finished"
}

net=(--net mlp --net.hidden "[256,128]" --net.dropout 0.2)
for data in tox21 sider muv; do
    for mode in disjoint legacy; do
        # The assays of mode "legacy" for validation are those of the test, which nothing may be chosen by.
        validations=$([[ $mode == disjoint ]] && echo 10 || echo 0)
        acquire multitask_probe 400 --prior multitask_probe "${net[@]}" --tasks.shots 32 --tasks.queries 32
        acquire protonet 400 --prior protonet "${net[@]}"
        acquire ridge 400 --prior ridge "${net[@]}"
        acquire maml 400 --prior maml "${net[@]}"
        acquire niw_meta 300 --prior niw_meta --start "$runs/$data-$mode/multitask_probe" --learning_rate 0.0003
    done
done

python "$(dirname "$0")/score.py" "$runs" --draws "$draws"
