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
