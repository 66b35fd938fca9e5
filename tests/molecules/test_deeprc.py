"""The network of repertoires: against one-hot convolutions, and what attention is good for."""

import random

import pytest
import torch
from torch.nn import functional

from metaprior import MAML, ProtoNet, acquire
from metaprior.errors import MetapriorError, ShapeError
from metaprior.molecules import AssayTable, assay_protocol
from metaprior.molecules.amino_acids import ALPHABET
from metaprior.molecules.deeprc import DeepRC
from metaprior.molecules.featurise import featurise
from metaprior.molecules.repertoires import LETTERS, Repertoire
from metaprior.nets import net_for
from metaprior.tasks import Examples

BAGS = ["CASSLF;CAWWF;CASSDRQYF", "CAF", "CDRQF;CASRTLGF", "CASSLF;CAF;CAWWF;CGGF"]


def rows(texts=tuple(BAGS), sequences=5, dtype=torch.float32):
    found = featurise(list(texts), Repertoire(sequences)).rows
    return found.dense(torch.arange(len(texts))).to(dtype)


def net(outputs=None, sequences=5, dtype=torch.float32, **arguments):
    return DeepRC(sequences * LETTERS, outputs, **({"motifs": 6, "queries": 2} | arguments)).to(dtype)


def test_motifs_are_a_convolution_of_one_hot_letters():
    built = net(dtype=torch.float64, length=3)
    with torch.no_grad():
        built.bias.normal_(generator=torch.Generator().manual_seed(0))
    ids = rows(dtype=torch.float64).long().unflatten(-1, (-1, LETTERS))
    letters = functional.one_hot(functional.pad(ids, (0, 2)).flatten(0, 1), len(ALPHABET) + 1).double()
    found = functional.conv1d(letters.mT, built.table.permute(2, 1, 0), built.bias).relu()
    wanted = (found * (ids.flatten(0, 1) > 0)[:, None]).amax(-1).unflatten(0, ids.shape[:2])
    torch.testing.assert_close(built.fits(ids), wanted, rtol=0, atol=1e-12)


def test_neither_the_order_of_sequences_nor_padding_matters():
    built, wide = net(dtype=torch.float64), net(sequences=9, dtype=torch.float64)
    turned = [";".join(reversed(text.split(";"))) for text in BAGS]
    found, other = built(rows(dtype=torch.float64)), wide(rows(turned, 9, torch.float64))
    torch.testing.assert_close(found, other, rtol=0, atol=1e-12)
    assert (built(torch.zeros(1, 5 * LETTERS, dtype=torch.float64)) == 0).all(), "padding among examples"


def test_it_recalls_the_mean_where_attention_is_blunt_and_one_where_it_is_sharp():
    x = rows(dtype=torch.float64)
    keys = net(dtype=torch.float64)
    ids = x.long().unflatten(-1, (-1, LETTERS))
    each, real = keys.key(keys.hidden(keys.fits(ids)).relu()), ids[..., 0] > 0
    blunt = net(dtype=torch.float64, sharpness=1e-12)(x).unflatten(-1, (2, 6))
    mean = (each * real[..., None]).sum(1) / real.sum(1)[:, None]
    torch.testing.assert_close(blunt, mean[:, None].expand_as(blunt), rtol=0, atol=1e-9)
    sharp = net(dtype=torch.float64, sharpness=1e9)(x).unflatten(-1, (2, 6))
    scores = (each @ keys.asked.mT).masked_fill(~real[..., None], -torch.inf)
    best = each.gather(1, scores.argmax(1)[..., None].expand(-1, -1, 6))
    torch.testing.assert_close(sharp, best, rtol=0, atol=1e-9)


def test_it_transforms_and_adapts():
    built, x = net(outputs=1, dtype=torch.float64), rows(dtype=torch.float64)
    parameters = {name: torch.stack([value, 1.1 * value]) for name, value in built.named_parameters()}

    def outputs(weights, part):
        return torch.func.functional_call(built, weights, (part,))

    found = torch.func.vmap(outputs)(parameters, torch.stack([x, x]))
    wanted = outputs({name: value[1] for name, value in parameters.items()}, x)
    torch.testing.assert_close(found[1], wanted, rtol=0, atol=1e-12)
    prior = MAML(net(outputs=1), inner_steps=1)
    y = torch.tensor([[[1.0], [0.0], [1.0], [0.0]]])
    prior.predict(prior.observe(prior.start(1), Examples(rows()[None], y)), rows()[None]).sum().backward()
    assert prior.net.table.grad.abs().sum() > 0


def test_derivatives_are_those_of_finite_differences():
    built, x = net(outputs=1, dtype=torch.float64), rows(dtype=torch.float64)

    def loss(asked):
        return torch.func.functional_call(built, {"asked": asked}, (x,)).square().sum()

    asked = built.asked.detach().clone().requires_grad_(True)
    assert torch.autograd.gradcheck(loss, asked)
    assert torch.autograd.gradgradcheck(loss, asked)


def write(path, bags=400, sequences=40, witnesses=2, motif="LDRQ"):
    """Write repertoires of random CDR3; a motif is in two of the 40 of every other one."""
    draw, lines = random.Random(0), ["repertoire,ill"]
    for bag in range(bags):
        found = ["".join(draw.choices(ALPHABET, k=draw.randint(8, 14))) for _ in range(sequences)]
        for at in range(witnesses if bag % 2 else 0):
            place = draw.randint(1, len(found[at]) - 5)
            found[at] = found[at][:place] + motif + found[at][place + len(motif) :]
        draw.shuffle(found)
        lines.append(f"{';'.join(f'C{text}F' for text in found)},{bag % 2}")
    path.write_text("\n".join(lines))


def test_attention_finds_the_few_sequences_that_matter(tmp_path):
    write(tmp_path / "bags.csv")
    reads = {"name": "repertoire", "sequences": 40}
    tasks = AssayTable(tmp_path / "bags.csv", by="random", shots=60, queries=60, featuriser=reads)
    found = {}
    for name, sharpness in (("attention", 1.0), ("mean", 1e-9)):
        prior = ProtoNet.for_tasks(tasks.spec, net_for("deeprc", tasks.spec, headless=True, sharpness=sharpness))
        acquire(prior, tasks, steps=70, tasks_per_step=1, learning_rate=0.01, validations=0)
        found[name] = assay_protocol(prior, tasks, [60], draws=4).rows[0]["auroc"]
    assert found["attention"] > 0.95
    assert 1 - found["attention"] < (1 - found["mean"]) / 3


def test_what_it_is_not_for():
    with pytest.raises(MetapriorError, match="inputs: expected a multiple of 28, as the featuriser 'repertoire' gives"):
        DeepRC(100)
    with pytest.raises(ShapeError, match=r"x: expected rows of 140 numbers, got \(2, 28\)"):
        net()(torch.zeros(2, 28))
