"""Several priors as one: the mean of what they say, and no worse than they are."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch

from metaprior import MAML, Ensemble, ProtoNet, Ridge, acquire, adapt, evaluate, load, read_card, save
from metaprior.cli import main
from metaprior.errors import MetapriorError
from metaprior.molecules import NCI, MultitaskProbe
from metaprior.nets import MLP
from metaprior.tasks import Linear, Sinusoid, Streams
from metaprior.testing import ToyTasks

WAVES = Sinusoid()
COLUMNS = [(0, 3), (1, 4)]


def heads(count=3, **settings):
    return [Ridge(MLP(1, hidden=(8,), seed=seed), outputs=1, **settings) for seed in range(count)]


def test_predictions_are_the_mean_of_the_members():
    episode = WAVES.sample(4, torch.Generator().manual_seed(0))
    members = heads()
    ensemble = Ensemble(members)
    found = ensemble.predict(ensemble.observe(ensemble.start(4), episode.support), episode.query.x)
    alone = [member.predict(member.observe(member.start(4), episode.support), episode.query.x) for member in members]
    torch.testing.assert_close(found, sum(alone) / 3)


@pytest.mark.parametrize("kind", ["classification", "regression"])
def test_it_is_never_worse_than_its_members_are_on_average(kind):
    """Squares and minus the logarithm of a softmax are convex in what is averaged."""
    source = ToyTasks(kind, (4,), outputs=3)
    members = [Ridge(MLP(4, hidden=(8,), seed=seed), outputs=3, scale=5.0) for seed in range(3)]
    episode = source.sample(20, torch.Generator().manual_seed(0))
    ensemble = Ensemble(members)
    together = super(Ensemble, ensemble).loss(episode)
    assert together < ensemble.loss(episode)
    assert ensemble.loss(episode).item() == pytest.approx(sum(member.loss(episode).item() for member in members) / 3)


def test_what_members_do_not_agree_on_is_uncertain():
    members = [MultitaskProbe(MLP(4, hidden=(8,), seed=seed), outputs=1).eval() for seed in range(3)]
    ensemble = Ensemble(members)
    episode = ToyTasks("regression", (4,), outputs=1).sample(2, torch.Generator().manual_seed(0))
    state = ensemble.observe(ensemble.start(2), episode.support)
    pairs = list(zip(members, state, strict=True))
    means, spreads = (
        torch.stack([getattr(member, name)(own, episode.query.x) for member, own in pairs])
        for name in ("predict", "deviation")
    )
    draws = means + spreads * torch.randn(20_000, *means.shape, generator=torch.Generator().manual_seed(0))
    found = ensemble.deviation(state, episode.query.x)
    torch.testing.assert_close(found, draws.transpose(0, 1).flatten(0, 1).std(0), rtol=0.03, atol=0)
    assert (found > spreads.square().mean(0).sqrt()).all()
    assert Ensemble([members[0], heads(1)[0]]).deviation((state[0], state[0]), episode.query.x) is None


def test_members_acquired_together_are_those_acquired_alone():
    source = Linear(features=3)
    settings = {"steps": 3, "learning_rate": 0.01, "validations": 0, "clip": None, "optimiser": "sgd"}
    ensemble = Ensemble.for_tasks(source.spec, MLP(3, hidden=(4,)), seed=5, count=2)
    alone = Ensemble.for_tasks(source.spec, MLP(3, hidden=(4,)), seed=5, count=2).members[1]
    # The objective is a mean of two, and the step of plain descent half as long for each.
    acquire(ensemble, source, **settings | {"learning_rate": 0.02})
    acquire(alone, source, **settings)
    for one, other in zip(ensemble.members[1].parameters(), alone.parameters(), strict=True):
        torch.testing.assert_close(one, other)
    first = [member.net.layers[0].weight for member in ensemble.members]
    assert not torch.allclose(*first)


def test_of_other_priors_and_names():
    built = Ensemble.for_tasks(ToyTasks().spec, of="protonet", count=2)
    assert [type(member) for member in built.members] == [ProtoNet, ProtoNet]
    mixed = Ensemble([*heads(1), MAML(MLP(1, 1, hidden=(4,)))])
    assert mixed.kinds == Ridge.kinds & MAML.kinds
    assert not mixed.incremental


def test_command(tmp_path, capsys):
    runs = [str(tmp_path / name) for name in ("a", "b")]
    few = ["--tasks", "sinusoid", "--net", "mlp", "--steps", "2", "--validations", "0"]
    for seed, run in enumerate(runs):
        assert main(["acquire", "--prior", "ridge", *few, "--seed", str(seed), "--out", run]) == 0
    out = tmp_path / "both"
    assert main(["ensemble", *runs, "--out", str(out)]) == 0
    assert "2 priors, whose predictions are averaged" in " ".join(capsys.readouterr().out.split())
    card = read_card(out)
    assert (card["step"], [one["seed"] for one in card["members"]]) == (4, [0, 1])
    members = [load(run) for run in runs]
    for own, other in zip(load(out).members, members, strict=True):
        assert all(torch.equal(value, other.state_dict()[name]) for name, value in own.state_dict().items())
    assert main(["evaluate", str(out), "--episodes", "5"]) == 0
    mean = evaluate(Ensemble(members), WAVES, episodes=5).mean
    assert evaluate(load(out), WAVES, episodes=5).mean == pytest.approx(mean)
    other = tmp_path / "other"
    assert main(["acquire", "--prior", "ridge", "--tasks", "linear", "--steps", "1", "--out", str(other)]) == 0
    assert main(["ensemble", runs[0], str(other), "--out", str(out)]) == 2
    assert f"{other} differs from {runs[0]} in x_shape" in capsys.readouterr().err


def test_a_file_is_adapted_to(tmp_path):
    source = NCI(shots=16, molecules=200)
    members = [MultitaskProbe.for_tasks(source.spec, MLP(2048, hidden=(8,), seed=seed)) for seed in (0, 1)]
    save(Ensemble(members), tmp_path, inputs=source.inputs)
    support, query = (tmp_path / f"{name}.csv" for name in ("support", "query"))
    support.write_text("smiles,value\nCCO,0.5\nCCCO,1.5\nCCCCO,2.5\nCCCCCO,3\n")
    query.write_text("smiles\nCCCCCCO\n")
    found = adapt(tmp_path, support, query)
    assert found["uncertainty"][0] > 0


def test_members_that_see_different_features():
    source = ToyTasks("regression", (4,), outputs=1)
    members = [Ridge(MLP(end - first, hidden=(8,), seed=at), outputs=1) for at, (first, end) in enumerate(COLUMNS)]
    ensemble, episode = Ensemble(members, COLUMNS), source.sample(3, torch.Generator().manual_seed(0))
    parts = [
        replace(
            episode,
            support=replace(episode.support, x=episode.support.x[..., first:end]),
            query=replace(episode.query, x=episode.query.x[..., first:end]),
        )
        for first, end in COLUMNS
    ]
    alone = [
        member.predict(member.observe(member.start(3), part.support), part.query.x)
        for member, part in zip(members, parts, strict=True)
    ]
    found = ensemble.predict(ensemble.observe(ensemble.start(3), episode.support), episode.query.x)
    torch.testing.assert_close(found, sum(alone) / 2)
    losses = [member.loss(part).item() for member, part in zip(members, parts, strict=True)]
    assert ensemble.loss(episode).item() == pytest.approx(sum(losses) / 2)
    changed = episode.query.x.clone()
    changed[..., 3] += 1
    state = members[0].observe(members[0].start(3), parts[0].support)
    torch.testing.assert_close(members[0].predict(state, changed[..., :3]), alone[0])
    stream = Streams(source, steps=2).sample(2, torch.Generator().manual_seed(0))
    seen = [
        member.stream(replace(stream, examples=replace(stream.examples, x=stream.examples.x[..., first:end])))
        for member, (first, end) in zip(members, COLUMNS, strict=True)
    ]
    torch.testing.assert_close(ensemble.stream(stream), sum(seen) / 2)


def test_command_with_members_of_different_featurisers(tmp_path, capsys):
    few = "acquire --prior multitask_probe --steps 1 --tasks nci --tasks.shots 4"
    mlp, gin = ["--net", "mlp", "--net.hidden", "[8]"], ["--net", "gin", "--net.width", "8"]
    featurisers = {"a": "morgan", "b": "descriptors", "c": "morgan", "d": "graph"}
    for name, featuriser in featurisers.items():
        more = ["--tasks.molecules", "60", "--validations", "0", "--tasks.featuriser", featuriser, "--out"]
        net = gin if featuriser == "graph" else mlp
        assert main([*few.split(), *net, *more, str(tmp_path / name)]) == 0
    out = tmp_path / "all"
    assert main(["ensemble", *(str(tmp_path / name) for name in featurisers), "--out", str(out)]) == 0
    ensemble = load(out)
    assert ensemble.columns[0] == ensemble.columns[2]
    widths = {name: read_card(tmp_path / name)["spec"]["x_shape"][0] for name in featurisers}
    assert sorted(end - start for start, end in set(ensemble.columns)) == sorted({*widths.values()})
    assert read_card(out)["spec"]["x_shape"] == [sum({*widths.values()})]
    support, query = (Path("examples") / f"molecules_{name}.csv" for name in ("assay", "library"))
    found, *alone = (
        torch.tensor(adapt(run, support, query, target="activity")["probability_active"]).logit()
        for run in (out, *(tmp_path / name for name in featurisers))
    )
    torch.testing.assert_close(found, sum(alone) / len(alone), rtol=1e-3, atol=1e-4)
    assert main(["evaluate", str(out), "--episodes", "4"]) == 0
    wrong = ["--prior", "ridge", "--tasks", "sinusoid", "--net", "mlp", "--steps", "1", "--validations", "0"]
    assert main(["acquire", *wrong, "--out", str(tmp_path / "waves")]) == 0
    assert main(["ensemble", str(tmp_path / "a"), str(tmp_path / "waves"), "--out", str(out)]) == 2
    assert f"{tmp_path / 'waves'} differs from {tmp_path / 'a'} in" in capsys.readouterr().err.replace("\n", " ")


def test_members_may_have_been_acquired_on_other_assays(tmp_path):
    settings = {"a": ["morgan", "60"], "b": ["atom_pairs", "80"]}
    for name, (featuriser, molecules) in settings.items():
        words = "acquire --prior multitask_probe --net mlp --net.hidden [8] --steps 1 --validations 0 --tasks nci"
        own = ["--tasks.shots", "4", "--tasks.molecules", molecules, "--tasks.featuriser", featuriser]
        assert main([*words.split(), *own, "--out", str(tmp_path / name)]) == 0
    assert len({read_card(tmp_path / name)["spec"]["pool"] for name in settings}) == 2
    assert main(["ensemble", *(str(tmp_path / name) for name in settings), "--out", str(tmp_path / "both")]) == 0
    assert read_card(tmp_path / "both")["spec"]["pool"] is None


def test_wrong_members(tmp_path, capsys):
    for columns, message in (([(0, 1)], "a pair for each of 2 members, got 1"), ([(0, 1), (2, 2)], "got 2, 2")):
        with pytest.raises(MetapriorError, match=f"columns: expected .*{message}"):
            Ensemble(heads(2), columns)
    with pytest.raises(MetapriorError, match="members: expected at least one prior"):
        Ensemble([])
    with pytest.raises(MetapriorError, match="count"):
        Ensemble.for_tasks(WAVES.spec, count=0)
    with pytest.raises(MetapriorError, match="columns: expected a pair for each of 2 members, and no network"):
        Ensemble.for_tasks(ToyTasks().spec, MLP(4), columns=COLUMNS)
    spec = ToyTasks("regression", (4,), outputs=1).spec
    assert [member.net.inputs for member in Ensemble.for_tasks(spec, columns=COLUMNS).members] == [3, 3]
    with pytest.raises(MetapriorError, match="net: expected None for an ensemble of 'maml'"):
        Ensemble.for_tasks(WAVES.spec, MLP(1, hidden=(4,)), of="maml")
    assert main(["ensemble", str(tmp_path / "none"), "--out", str(tmp_path)]) == 2
    assert "no such checkpoint" in capsys.readouterr().err
