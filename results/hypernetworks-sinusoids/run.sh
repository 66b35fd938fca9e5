#!/usr/bin/env bash
# Acquire every prior of the tables on sinusoids with three seeds, one CPU thread each, then score all of them. Steps are
# such that each prior takes about 75 seconds on an idle core, unless the row says that steps are equal.
set -euo pipefail
runs=${1:-runs/hypernetworks-sinusoids}
seeds=${2:-0 1 2}

acquire() { # NAME TRAIN_TASKS STEPS OPTIONS...
    local name=$1 tasks=$2 steps=$3
    shift 3
    for seed in $seeds; do
        local out="$runs/$name-$tasks-$seed" limit=()
        [[ $tasks == unlimited ]] || limit=(--tasks.train_tasks "$tasks")
        [[ -e $out/finished ]] && continue
        metaprior acquire --tasks sinusoid --tasks.queries 10 "${limit[@]}" --tasks_per_step 25 --steps "$steps" \
            --validations 0 --threads 1 --seed "$seed" --out "$out" "$@"
        touch "$out/finished"
    done
}

wide=(--prior maml --prior.step_size 0.01 --net mlp --net.hidden "[240,240]")
for tasks in unlimited 30 100 1000; do
    acquire hypernet "$tasks" 4000 --prior hypernet --prior.step_size 0.01
    acquire plain "$tasks" 6800 --prior maml --prior.step_size 0.01
    acquire wide "$tasks" 2400 "${wide[@]}"
done
acquire hypernet,larger-steps unlimited 4000 --prior hypernet --prior.step_size 0.1
acquire plain,larger-steps unlimited 6800 --prior maml --prior.step_size 0.1
acquire wide,equal-steps unlimited 4000 "${wide[@]}"

# What matters, and what else could be done: 1,500 steps each.
hypernet() { acquire "$1" unlimited 1500 --prior hypernet --prior.step_size 0.01 "${@:2}"; }
hypernet "low_rank,16"
for generator in linear factorised multiplicative templates chunked; do
    hypernet "$generator" --prior.generator "$generator"
done
for size in 1 2 4 64; do hypernet "low_rank,$size" --prior.code_size "$size"; done
hypernet "heads" --prior.adapts heads
hypernet "all" --prior.adapts all
hypernet "all,smaller-steps" --prior.adapts all --prior.step_size 0.001
hypernet "dynamic" --prior.dynamic true
acquire maml unlimited 1500 --prior maml --prior.step_size 0.01
acquire meta_sgd unlimited 1500 --prior meta_sgd --prior.step_size 0.01
acquire cavia unlimited 1500 --prior cavia --prior.step_size 1
acquire leo unlimited 1500 --prior leo --prior.step_size 0.01
for name in hypermaml amortised cnp; do acquire "$name" unlimited 1500 --prior "$name"; done

python "$(dirname "$0")/score.py" "$runs"
