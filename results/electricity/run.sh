#!/usr/bin/env bash
# Acquire every prior on the training part of the electricity stream with three seeds, one CPU thread each, then follow
# the test part with all of them, and with river's models. A prior takes about a minute on an idle core, a forest three.
set -euo pipefail
runs=${1:-runs/electricity}
seeds=${2:-0 1 2}

acquire() { # NAME DELAY LENGTH STEPS OPTIONS...
    local name=$1 delay=$2 length=$3 steps=$4
    shift 4
    local out="$runs/$name-$delay-$seed"
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks electricity --tasks.length "$length" --tasks.jitter 0.3 --delay "$delay" \
        --tasks_per_step 32 --clip 1 --steps "$steps" --validations 0 --threads 1 --seed "$seed" \
        --out "$out" --net mlp --net.hidden "[64,64]" "$@"
    touch "$out/finished"
}

# The jitter and the memory's learning rate were chosen on the validation part; the rest was not tuned.
for seed in $seeds; do
    for delay in 1 48; do
        memory=("$delay" 240 150 --prior distributed_memory --learning_rate 0.005)
        acquire distributed "${memory[@]}"
        acquire last "${memory[@]}" --prior.where 'rectifiers\.1'
    done
    # Acquisition of these does not depend on when labels come, so that one of each serves for all delays.
    acquire untold 1 240 150 --prior distributed_memory --learning_rate 0.005 --prior.feedback none
    acquire protonet 1 96 150 --prior protonet --learning_rate 0.001
    acquire maml 1 96 150 --prior maml --prior.inner_steps 1 --prior.step_size 0.05 --prior.first_order true
done

python "$(dirname "$0")/score.py" "$runs"
