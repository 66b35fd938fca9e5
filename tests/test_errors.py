import pytest

from metaprior import errors
from metaprior.errors import MetapriorError, UnknownNameError, missing


@pytest.mark.parametrize(
    ("error", "builtin"),
    [
        (errors.ShapeError, ValueError),
        (errors.DataError, ValueError),
        (errors.CheckpointError, ValueError),
        (errors.AcquireError, RuntimeError),
        (errors.UnknownNameError, KeyError),
    ],
)
def test_each_error_is_one_of_ours_and_of_pythons(error, builtin):
    assert issubclass(error, MetapriorError)
    assert issubclass(error, builtin)


def test_every_error_is_public():
    ours = {name for name, thing in vars(errors).items() if isinstance(thing, type) and issubclass(thing, Exception)}
    assert ours <= set(errors.__all__)


def test_an_unknown_name_is_one_plain_sentence():
    assert str(UnknownNameError("prior", "prtonet", ["protonet", "maml"])) == (
        "unknown prior 'prtonet': did you mean 'protonet'? Known: maml, protonet"
    )
    assert str(UnknownNameError("prior", "zzz", ["maml"])) == "unknown prior 'zzz': Known: maml"


def test_a_missing_package_comes_with_its_command():
    assert 'pip install "metaprior[vision]"' in str(missing("pillow", "vision", "reading images"))
