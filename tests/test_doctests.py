"""Every example in a docstring runs, and gives what it says."""

import doctest
import importlib
import pkgutil

import pytest

import metaprior
from metaprior.checkpoint import zoo

MODULES = sorted(
    module.name
    for module in pkgutil.walk_packages(metaprior.__path__, "metaprior.")
    if not module.name.endswith("__main__")
)


@pytest.mark.parametrize("name", MODULES)
def test_examples_in_docstrings(name, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    module = importlib.import_module(name)
    runner = doctest.DocTestRunner(optionflags=doctest.ELLIPSIS)
    report: list[str] = []
    for test in doctest.DocTestFinder(exclude_empty=True).find(module, name, globs=dict(vars(module))):
        if any("zoo:" in example.source for example in test.examples) and not zoo():
            continue  # this checkout has no priors in its zoo yet
        runner.run(test, out=report.append)
    assert not runner.failures, "".join(report)
