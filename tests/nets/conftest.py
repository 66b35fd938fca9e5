import pytest

from metaprior.nets import pieces


@pytest.fixture
def small_pieces(monkeypatch):
    """Let a few small images count as many, so that work is done in pieces."""
    monkeypatch.setattr(pieces, "PIECE", 200)
