#!/usr/bin/env bash
# Acquire every prior of the table on continual Omniglot, one CPU thread each, then let all of them learn 600 new
# characters. Steps are such that each takes about two minutes on an idle core; to learn takes most of an hour more.
set -euo pipefail
runs=${1:-runs/continual-omniglot}
seeds=${2:-0}
share=${3:-1} # of the steps, to try things out

acquire() { # NAME STEPS TASKS_PER_STEP OPTIONS...
    local name=$1 steps=$((($2 + share - 1) / share)) tasks=$3
    shift 3
    for seed in $seeds; do
        local out="$runs/$name-$seed"
        [[ -e $out/finished ]] && continue
        metaprior acquire --tasks class_incremental --tasks.train_shots 5 --net conv4 --net.norm group \
            --tasks_per_step "$tasks" --steps "$steps" --validations 0 --threads 1 --seed "$seed" --out "$out" "$@"
        touch "$out/finished"
    done
}

acquire oml 300 2 --prior oml
acquire oml,queries 750 4 --prior oml --tasks.remember 0
acquire anml 300 2 --prior anml
acquire anml,queries 400 4 --prior anml --tasks.remember 0
acquire online_maml 130 1 --prior online_maml
acquire protonet 150 4 --prior protonet --tasks.train_ways 20 --tasks.remember 0
acquire ridge 150 4 --prior ridge --tasks.train_ways 20 --tasks.remember 0
acquire replay 750 4 --prior replay --tasks.remember 0
acquire fine_tune 750 4 --prior replay --prior.replayed 0 --tasks.remember 0
acquire replay_scratch 1 1 --prior replay_scratch
acquire scratch 1 1 --prior replay_scratch --prior.replayed 0

python "$(dirname "$0")/score.py" "$runs" "${@:4}"
