#!/usr/bin/env bash
# Acquire every prior of the table on Omniglot, one CPU thread each, then score all of them: five hours on one core.
set -euo pipefail
runs=${1:-runs/omniglot}

acquire() {
    metaprior acquire --tasks omniglot --threads 1 "$@"
}

acquire --prior protonet --tasks.ways 60 --tasks.queries 5 --tasks_per_step 1 --budget 2000 --out "$runs/protonet"
acquire --prior ridge --tasks.ways 20 --tasks.queries 5 --tasks_per_step 2 --learning_rate 0.003 --budget 600 \
    --validations 3 --validation_tasks 30 --out "$runs/ridge"
acquire --prior fine_tune --tasks.ways 60 --tasks.queries 5 --tasks_per_step 1 --learning_rate 0.003 --budget 450 \
    --validations 1 --validation_tasks 10 --out "$runs/fine_tune"
acquire --prior maml --prior.step_size 0.4 --prior.transductive true --tasks.queries 5 --tasks_per_step 4 \
    --budget 3300 --validations 10 --out "$runs/maml5"
acquire --prior maml --net mlp --net.hidden "[256,128,64,64]" --net.norm batch --prior.step_size 0.4 \
    --prior.transductive true --tasks.queries 5 --tasks_per_step 16 --budget 480 --validations 2 --out "$runs/maml5-mlp"
acquire --prior fomaml --prior.step_size 0.4 --prior.transductive true --tasks.queries 5 --tasks_per_step 4 \
    --learning_rate 0.003 --budget 1600 --validations 4 --out "$runs/fomaml5"
acquire --prior reptile --prior.inner_steps 5 --prior.step_size 0.1 --prior.test_steps 10 --tasks.shots 5 \
    --tasks.queries 1 --tasks_per_step 5 --budget 1300 --validations 2 --validation_tasks 50 --out "$runs/reptile5"
acquire --prior maml --prior.step_size 0.2 --prior.transductive true --tasks.ways 20 --tasks.queries 2 \
    --tasks_per_step 2 --budget 2700 --validations 3 --validation_tasks 30 --out "$runs/maml20"
acquire --prior fomaml --prior.step_size 0.2 --prior.transductive true --tasks.ways 20 --tasks.queries 2 \
    --tasks_per_step 2 --budget 1300 --validations 2 --validation_tasks 30 --out "$runs/fomaml20"
acquire --prior reptile --prior.inner_steps 5 --prior.step_size 0.1 --prior.test_steps 10 --tasks.ways 20 \
    --tasks.shots 5 --tasks.queries 1 --tasks_per_step 2 --budget 1200 --validations 2 --validation_tasks 20 \
    --out "$runs/reptile20"

python "$(dirname "$0")/score.py" "$runs"
