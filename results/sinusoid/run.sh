#!/usr/bin/env bash
# Acquire three priors on sinusoids and score them in and out of distribution: about half an hour on one core.
set -euo pipefail
runs=${1:-runs/sinusoid}

for setting in "ridge 20 8000" "meta_sgd 10 20000" "maml 10 40000"; do
    read -r prior queries steps <<< "$setting"
    size=()
    [ "$prior" = ridge ] || size=(--prior.step_size 0.01)
    metaprior acquire --prior "$prior" "${size[@]}" --tasks sinusoid --tasks.shots 10 --tasks.queries "$queries" \
        --tasks_per_step 25 --steps "$steps" --validations 10 --threads 1 --out "$runs/$prior"
done
python "$(dirname "$0")/score.py" "$runs"
