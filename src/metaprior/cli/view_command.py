"""`metaprior view`: a page in which a field can be looked at from every side."""

import time
from collections.abc import Sequence
from pathlib import Path

from metaprior.cli.arguments import Parser
from metaprior.cli.display import console

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Serve a page with a fitted field, or with what a prior makes of a prompt, until Ctrl-C."""
    from metaprior.fields.field import Field, Weights
    from metaprior.fields.generate import ZOO, check_shows, said, with_source, written
    from metaprior.fields.network import load_field
    from metaprior.fields.view import View

    parser = Parser("view", "Look at a field from every side, in a page that this machine serves.")
    options = parser.options
    options.add_argument("what", help="a folder that 'metaprior fit' wrote, a field file, or a prompt")
    options.add_argument("--prior", type=str, default=ZOO, help="what makes fields of prompts")
    options.add_argument("--host", type=str, default="127.0.0.1", help="who may look; 0.0.0.0 for every machine")
    options.add_argument("--port", type=int, default=8080, help="of the page; the next free one if it is taken")
    options.add_argument("--size", type=int, default=192, help="the width of what is drawn, in pixels")
    options.add_argument("--seconds", type=float | None, default=None, help="how long to serve; None until Ctrl-C")
    parsed = parser.parse(words)
    shown = {"host": parsed.host, "port": parsed.port, "size": parsed.size}
    if (parsed.what.strip() and Path(parsed.what).exists()) or parsed.what.endswith(".safetensors"):
        network, facts = load_field(parsed.what)
        weights = {name: value.detach() for name, value in network.weights.items()}
        view = View(network.field, weights, facts.get("prompt", ""), **shown)
    else:
        prior, source = with_source(parsed.prior)

        def make(prompt: str) -> tuple[Field, Weights]:
            prompt = said(prompt, source)
            weights = written(prior, prompt)
            check_shows(prior.net.field, weights, prompt)
            return prior.net.field, weights

        view = View(*make(parsed.what), parsed.what, make, **shown)
    console.print(f"http://{parsed.host}:{view.port} shows {parsed.what}; Ctrl-C ends it")
    try:
        end = None if parsed.seconds is None else time.monotonic() + parsed.seconds
        while end is None or time.monotonic() < end:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        view.stop()
