#!/usr/bin/env bash
# Acquire every prior of the table on 5-way streams of Omniglot, one CPU thread each, then let all of them follow streams
# of new characters. Steps are such that each takes about five minutes on an idle core.
set -euo pipefail
runs=${1:-runs/omniglot-streams}
seeds=${2:-0 1 2}

acquire() { # NAME STEPS OPTIONS...
    local name=$1 steps=$2
    shift 2
    local out="$runs/$name-$seed"
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks omniglot --tasks.size 16 --tasks.ways 5 --net conv4 --net.width 32 --net.norm group \
        --tasks_per_step 16 --clip 1 --steps "$steps" --validations 0 --threads 1 --seed "$seed" --out "$out" "$@"
    touch "$out/finished"
}

streams=(--tasks.shots 15 --tasks.queries 1 --length 20 --delay 1)
episodes=(--tasks.shots 5 --tasks.queries 5)
for seed in $seeds; do
    acquire fast 1000 "${streams[@]}" --prior paired_memory --prior.cell fast
    acquire protonet 2200 "${streams[@]}" --prior protonet
    acquire protonet,episodes 2200 --tasks.ways 20 --tasks.shots 1 --tasks.queries 3 --tasks_per_step 4 --prior protonet
    acquire paired 530 "${streams[@]}" --prior paired_memory
    acquire distributed 1150 "${streams[@]}" --prior distributed_memory --prior.late wait
    acquire lstm 3300 "${streams[@]}" --prior lstm --prior.late wait
    acquire mann 1300 "${streams[@]}" --prior mann --prior.late wait
    acquire cpm 1150 "${streams[@]}" --prior cpm
    acquire matching 2500 "${streams[@]}" --prior matching
    acquire fast,last 2000 "${streams[@]}" --prior paired_memory --prior.cell fast --prior.where last
    acquire hopfield 2000 "${streams[@]}" --prior hopfield
    acquire dnc 1000 "${streams[@]}" --prior dnc --prior.late wait
    acquire ridge 2300 "${streams[@]}" --prior ridge
    acquire replay 1000 "${episodes[@]}" --prior replay
    acquire online_maml 130 "${episodes[@]}" --prior online_maml
    acquire oml 300 "${episodes[@]}" --prior oml
    acquire anml 300 "${episodes[@]}" --prior anml
done

python "$(dirname "$0")/score.py" "$runs"
