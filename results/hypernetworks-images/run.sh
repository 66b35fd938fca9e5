#!/usr/bin/env bash
# Acquire every prior of the tables on Omniglot and CIFAR-FS with three seeds, one CPU thread each, then score all of
# them. Steps are such that each takes the time of 500 steps of MAML: about a minute and a half on an idle core.
set -euo pipefail
runs=${1:-runs/hypernetworks-images}
sources=${2:-omniglot cifarfs}
seeds=${3:-0 1 2}

acquire() { # NAME STEPS OPTIONS...
    local name=$1 steps=$2
    shift 2
    local out="$runs/$name-$source-$seed"
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks "$source" --tasks.ways 5 --tasks.shots 1 --tasks.queries 3 --tasks_per_step 4 \
        --learning_rate 0.002 --steps "$steps" --validations 0 --threads 1 --seed "$seed" --out "$out" "$@"
    touch "$out/finished"
}

# Step sizes are the best of two to four after 150 steps on validation tasks of Omniglot; those of three priors were
# chosen again for CIFAR-FS, where Omniglot's did badly.
declare -A heads=([omniglot]=1 [cifarfs]=0.1) free=([omniglot]=4 [cifarfs]=1) maml=([omniglot]=0.4 [cifarfs]=0.1)
for source in $sources; do
    for seed in $seeds; do
        acquire maml 500 --prior maml --prior.step_size "${maml[$source]}" --net conv4 --net.width 32
        acquire maml,wider 463 --prior maml --prior.step_size "${maml[$source]}" --net conv4 --net.width 35
        acquire meta_sgd 500 --prior meta_sgd --prior.step_size 0.1 --net conv4 --net.width 32
        acquire cavia 500 --prior cavia --prior.code_size 128 --prior.step_size 10 --net conv4 --net.width 32
        acquire hypermaml 1378 --prior hypermaml --net conv4 --net.width 32
        acquire hypernet,templates 494 --prior hypernet --prior.generator templates --prior.step_size 0.4 \
            --net conv4 --net.width 32
        acquire hypernet,code 371 --prior hypernet --prior.code_size 128 --prior.step_size 1 --net conv4 --net.width 32
        acquire hypernet,heads 344 --prior hypernet --prior.adapts heads --prior.step_size "${heads[$source]}" \
            --net conv4 --net.width 32
        acquire hypernet,free 380 --prior hypernet --prior.code_size 64 --prior.generated '^blocks' \
            --prior.adapts free --prior.step_size "${free[$source]}" --net conv4 --net.width 32
    done
done

python "$(dirname "$0")/score.py" "$runs"
