#!/usr/bin/env bash
# Acquire every prior of the tables, one CPU thread each, then score all of them. RUNS may hold finished ones.
set -euo pipefail
runs=${1:-runs/hyperfields}
seed=${2:-0}

acquire() { # NAME STEPS OPTIONS...
    local out="$runs/$1" steps=$2
    shift 2
    [[ -e $out/finished ]] && return
    metaprior acquire --tasks scenes --tasks.text words --tasks.shots 1 --tasks.queries 2048 --tasks.size 64 --tasks_per_step 8 \
        --learning_rate 0.002 --steps "$steps" --validations 12 --validation_tasks 6 --threads 1 --seed "$seed" \
        --resume --out "$out" "$@"
    touch "$out/finished"
}

points=(--tasks.teaches points)
# From pictures alone, fields are empty for good after a few steps of 0.002; after points, they sharpen.
pictures=(--tasks.queries 512 --learning_rate 0.0005)

# (a) 9 shapes x 8 colours, 45 seen and 27 unseen: first from points, then from pictures; and the baselines of (c).
acquire protocol,points 2000 --prior hyperfields "${points[@]}"
acquire protocol 600 --start "$runs/protocol,points" "${pictures[@]}"
acquire static,points 2000 --prior hyperfields --net hyper_field --net.dynamic false "${points[@]}"
acquire static 600 --start "$runs/static,points" "${pictures[@]}"
acquire biases,points 2000 --prior hyperfields --net hyper_field --net.writes biases "${points[@]}"
acquire biases 600 --start "$runs/biases,points" "${pictures[@]}"
# The same, read by a network that knows what words mean.
minilm=(--tasks.text minilm)
acquire minilm,points 2000 --prior hyperfields "${points[@]}" "${minilm[@]}"
acquire minilm 600 --start "$runs/minilm,points" "${pictures[@]}" "${minilm[@]}"
seen=$(python -c 'import json; from metaprior.fields import Scenes; print(json.dumps(Scenes().prompts()))')
acquire nearest,points 2000 --prior nearest_field --prior.prompts "$seen" "${points[@]}" --learning_rate 0.005
acquire nearest 600 --start "$runs/nearest,points" "${pictures[@]}" --learning_rate 0.002
acquire maml 600 --prior fomaml --prior.inner_steps 4 --prior.step_size 0.5 --tasks.shots 512 --tasks.queries 256 \
    --tasks_per_step 2 --learning_rate 0.001
acquire reptile 600 --prior reptile --prior.inner_steps 16 --prior.step_size 0.5 --tasks.shots 1024 \
    --tasks.queries 1024 --tasks_per_step 2 --learning_rate 0.5

# (b) Things that look different from every side; the field sees the direction of view, or does not.
for material in iridescent glossy matte; do
    scenes=$(python -c "import json; from metaprior.fields.scenes import every
print(json.dumps(every(['ball', 'torus', 'box', 'mug'], ['red', 'blue', 'yellow'], ['$material'])))")
    for directions in true false; do
        for dynamic in true false; do
            acquire "view,$material,$directions,$dynamic" 600 --prior hyperfields --net hyper_field \
                --net.directions "$directions" --net.dynamic "$dynamic" --tasks.scenes "$scenes" --tasks.size 48 \
                "${points[@]}" --learning_rate 0.001
        done
    done
done

# The two ways that differ most, for longer, and from pictures too.
scenes=$(python -c "import json; from metaprior.fields.scenes import every
print(json.dumps(every(['ball', 'torus', 'box', 'mug'], ['red', 'blue', 'yellow'], ['iridescent'])))")
for knows in true false; do
    view=(--tasks.scenes "$scenes" --tasks.size 48)
    acquire "longer,iridescent,$knows,points" 2000 --prior hyperfields --net hyper_field --net.directions $knows \
        --net.dynamic $knows "${view[@]}" "${points[@]}" --learning_rate 0.001
    acquire "longer,iridescent,$knows" 600 --start "$runs/longer,iridescent,$knows,points" "${view[@]}" "${pictures[@]}"
done

# (d) 108 scenes in one network, as many steps for each as in (a).
acquire pack,points 4800 --prior hyperfields --tasks.colours 12 --tasks.held_out 0 "${points[@]}"
acquire pack 1440 --start "$runs/pack,points" --tasks.colours 12 --tasks.held_out 0 "${pictures[@]}"

# (f) Trucks of four colours, each held out in turn, beside plain things of the same and other colours.
for colour in green purple red yellow; do
    scenes=$(python -c "import json; from metaprior.fields.scenes import every
print(json.dumps([f'kenney:vehicle-truck-{colour}' for colour in ('green', 'purple', 'red', 'yellow')]
+ ['kenney:vehicle-motorcycle'] + every(['ball', 'box', 'cylinder'], ['green', 'purple', 'red', 'yellow'])))")
    acquire "trucks,$colour" 400 --prior hyperfields --tasks.scenes "$scenes" --tasks.size 48 --tasks.queries 512 \
        --tasks.unseen "[\"kenney:vehicle-truck-$colour\"]" --learning_rate 0.0005
done

# (e) Ablations of (a), 600 steps from points each.
ablation() { acquire "ablation,$1" 600 --prior hyperfields --net hyper_field "${points[@]}" "${@:2}"; }
ablation default
ablation static --net.dynamic false
ablation whole-gradients --net.stop_gradient false
ablation biases --net.writes biases
ablation narrow --net.width 32 --net.units 32
ablation planes-alone --net.octaves null

# The prior of the zoo: one or two things of every shape, colour and material; first 1,800 prompts, then 7,200. Larger
# steps than these leave colours black for good: a generator of many units takes larger ones in what it writes.
everything=(--tasks.shapes 15 --tasks.colours 12 --tasks.materials 5 --tasks.held_out 1 --tasks.supersample 1)
many=(--tasks.drawn 8000 "${everything[@]}" "${points[@]}" --tasks.queries 1024 --tasks_per_step 16
    --learning_rate 0.0005)
acquire zoo 4000 --prior hyperfields --net hyper_field --net.directions true --net.code_size 128 --net.units 104 \
    --net.width 96 "${many[@]}" --tasks.drawn 2000
acquire zoo,longer 12000 --start "$runs/zoo" "${many[@]}" --seed $((seed + 1))
acquire zoo,sharper 6000 --start "$runs/zoo,longer" "${many[@]}" --seed $((seed + 2))

python "$(dirname "$0")/score.py" "$runs"
python "$(dirname "$0")/adapt.py" "$runs"
