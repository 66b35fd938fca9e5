"""Kernels against scikit-learn's, and what any kernel must be."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from metaprior.errors import UnknownNameError
from metaprior.gaussian import DeepKernel, tanimoto

kernels = pytest.importorskip("sklearn.gaussian_process.kernels")
FORMS = ["rbf", "matern", "linear", "cosine"]


def rows(seed: int, n: int, f: int = 3, tasks: int = 2) -> torch.Tensor:
    return torch.randn(tasks, n, f, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("form", FORMS)
def test_equals_scikit_learn(form):
    left, right, length = rows(0, 5), rows(1, 4), 0.7
    kernel = DeepKernel(form)
    hyper = {"signal": np.log(2.0), "offset": np.log(0.3), "length": np.log(length)}
    got = kernel.covariance(kernel.compare(left, right), torch.tensor([[hyper[name] for name in kernel.names]]))
    # Distances are means over three features.
    base = {
        "rbf": kernels.RBF(length * 3**0.5),
        "matern": kernels.Matern(length * 3**0.5, nu=2.5),
        "linear": kernels.ConstantKernel(1 / 3) * kernels.DotProduct(0.0),
        "cosine": kernels.PairwiseKernel(metric="cosine"),
    }[form]
    oracle = kernels.ConstantKernel(2.0) * base + kernels.ConstantKernel(0.3)
    for task in range(2):
        assert np.allclose(got[task], oracle(left[task].numpy(), right[task].numpy()), atol=1e-9)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("inputs", [0, 2])
def test_the_diagonal_is_that_of_the_whole(form, inputs):
    x = rows(0, 6, f=5).abs()
    kernel = DeepKernel(form, inputs)
    hyper = torch.linspace(-1, 1, len(kernel.names), dtype=torch.float64)[None]
    whole = kernel.covariance(kernel.compare(x, x), hyper)
    own = kernel.covariance(kernel.compare_self(x), hyper)
    # A root near zero costs half of the digits.
    torch.testing.assert_close(own, whole.diagonal(dim1=1, dim2=2), rtol=1e-5, atol=1e-5)
    assert (torch.linalg.eigvalsh(whole) > -1e-6).all()


def test_hyper_parameters_may_differ_by_task():
    x, kernel = rows(0, 4), DeepKernel("rbf")
    hyper = torch.tensor([[0.0, 0.1, 0.2], [1.0, 0.3, -1.0]], dtype=torch.float64)
    together = kernel.covariance(kernel.compare(x, x), hyper)
    for task in range(2):
        alone = x[task : task + 1]
        torch.testing.assert_close(
            together[task : task + 1], kernel.covariance(kernel.compare(alone, alone), hyper[task : task + 1])
        )


@settings(max_examples=30, deadline=None)
@given(st.lists(st.lists(st.integers(0, 3), min_size=4, max_size=4), min_size=1, max_size=5))
def test_tanimoto_of_bits_is_the_share_of_what_either_has(counts):
    bits = (torch.tensor(counts) > 0).double()
    got = tanimoto(bits, bits)
    for i, a in enumerate(bits.bool()):
        for j, b in enumerate(bits.bool()):
            either = int((a | b).sum())
            assert got[i, j] == pytest.approx(int((a & b).sum()) / either if either else 1.0)


@pytest.mark.parametrize("form", FORMS)
def test_has_derivatives_where_rows_are_equal(form):
    x = rows(0, 3).requires_grad_()
    kernel = DeepKernel(form, inputs=1)
    value = kernel.covariance(kernel.compare(x, x), torch.zeros(1, len(kernel.names), dtype=torch.float64))
    (gradient,) = torch.autograd.grad(value.square().sum(), x, create_graph=True)
    (second,) = torch.autograd.grad(gradient.square().sum(), x)
    assert gradient.isfinite().all()
    assert second.isfinite().all()


def test_an_unknown_form_is_refused():
    with pytest.raises(UnknownNameError, match="unknown kernel 'rfb': did you mean 'rbf'"):
        DeepKernel("rfb")
