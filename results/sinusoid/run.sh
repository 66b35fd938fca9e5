#!/usr/bin/env bash
# Acquire three priors and the pooled control on sinusoids and score them in and out of distribution: about ten
# minutes on one core.
set -euo pipefail
runs=${1:-runs/sinusoid}

acquire() {
    metaprior acquire --tasks sinusoid --tasks.shots 10 --tasks_per_step 25 --validations 10 --threads 1 "$@"
}

acquire --prior ridge --net mlp --net.hidden "[64,64]" --tasks.queries 20 --steps 20000 --out "$runs/ridge"
acquire --prior meta_sgd --prior.step_size 0.01 --tasks.queries 10 --steps 6000 --out "$runs/meta_sgd"
acquire --prior maml --prior.step_size 0.01 --tasks.queries 10 --steps 20000 --out "$runs/maml"
acquire --prior fine_tune --tasks.queries 10 --steps 5000 --out "$runs/fine_tune"

python "$(dirname "$0")/score.py" "$runs"
