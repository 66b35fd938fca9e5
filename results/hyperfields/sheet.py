"""Draw what the prior of the zoo makes of prompts that it met, never met, and cannot know: `python sheet.py OUT.png`.

Prompts that it met and never met are taken in the order in which they were drawn, four of one thing and five of two.
The others were chosen before they were looked at; their fields are then refined on twelve views.
"""

import sys

import torch

from metaprior import load, read_card
from metaprior.fields import AnalyticScene, Cameras, frozen, open_scene, refine, render_views, write_picture
from metaprior.fields.open import find_scene
from metaprior.fields.writers import sheet
from metaprior.registry import build

SIZE, COLUMNS, STEPS = 64, 9, 100
NOVEL = (
    "a red ball on a blue box left of a green cone",
    "a white mug above a brown table behind a pink star",
    "kenney:vehicle-truck-red",
    "kenney:vehicle-motorcycle",
    "kenney:building-small-a",
    "kenney:block-coin",
    "kenney:character",
    "kenney:flag",
    "kenney:house",
)


def seen(field, weights, cameras):
    """Return what a field shows, in front of white."""
    with torch.no_grad():
        return render_views(field, frozen(field, weights, cells=64), cameras, 96).over()[0]


def main():
    """Write the sheet."""
    torch.set_num_threads(1)
    prior, source = load("zoo:scenes"), build(read_card("zoo:scenes")["tasks"])
    camera, rows = Cameras.turntable(1, SIZE), []

    def field_of(prompt):
        with torch.no_grad():
            return seen(prior.net.field, prior.field_weights(prior.start(1, about=[prompt])), camera)

    for split in ("train", "test"):
        prompts = source.prompts(split)
        single = [prompt for prompt in prompts if len(AnalyticScene(prompt).description.things) == 1][:4]
        chosen = single + [prompt for prompt in prompts if prompt not in single][: COLUMNS - len(single)]
        rows.append([AnalyticScene(prompt).views(camera, 3).over()[0] for prompt in chosen])
        rows.append([field_of(prompt) for prompt in chosen])
    scenes, fields, refined = [], [], []
    for name in NOVEL:
        views = open_scene(name, SIZE, views=12, held_out=1)[0]
        scene = find_scene(name)
        scenes.append(scene.views(camera, 3).over()[0])
        fields.append(field_of(scene.prompt))
        refined.append(seen(prior.net.field, refine(prior, scene.prompt, views, steps=STEPS), camera))
        print(name, flush=True)
    names = ["met", "fields", "never met", "fields", "unknown", "fields", f"after {STEPS} steps on 12 views"]
    write_picture(sys.argv[1], sheet([*rows, scenes, fields, refined], names))


if __name__ == "__main__":
    main()
