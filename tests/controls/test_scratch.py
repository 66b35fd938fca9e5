"""The control that knows nothing."""

from metaprior import Scratch, acquire, evaluate
from metaprior.nets import MLP
from metaprior.tasks import Sinusoid


def test_acquisition_leaves_it_alone(tmp_path):
    prior = Scratch(MLP(1, 1), steps=2)
    before = [parameter.clone() for parameter in prior.parameters()]
    acquired = acquire(prior, Sinusoid(), steps=5, out=tmp_path)
    assert acquired.log == []
    assert all((now == then).all() for now, then in zip(prior.parameters(), before, strict=True))
    assert (tmp_path / "prior.safetensors").is_file()


def test_more_steps_fit_a_task_better():
    source = Sinusoid(shots=20, queries=20)
    few, many = (evaluate(Scratch(MLP(1, 1), steps=steps), source, episodes=50) for steps in (1, 100))
    assert many.mean + many.interval < few.mean
