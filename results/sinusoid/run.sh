#!/usr/bin/env bash
# Acquire two priors on sinusoids and score them in and out of distribution: about five minutes on one core.
set -euo pipefail
runs=${1:-runs/sinusoid}

for setting in "ridge 20 4000" "meta_sgd 10 6000"; do
    read -r prior queries steps <<< "$setting"
    size=()
    [ "$prior" = ridge ] || size=(--prior.step_size 0.01)
    metaprior acquire --prior "$prior" "${size[@]}" --tasks sinusoid --tasks.shots 10 --tasks.queries "$queries" \
        --tasks_per_step 25 --steps "$steps" --validations 10 --threads 1 --out "$runs/$prior"
done
python "$(dirname "$0")/score.py" "$runs"
