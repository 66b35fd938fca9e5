"""`metaprior view`: a page in which a field can be looked at from every side."""

import time
import warnings
from collections.abc import Sequence
from functools import partial
from pathlib import Path

from metaprior.cli.arguments import Parser
from metaprior.cli.choices import to_device
from metaprior.cli.display import console
from metaprior.errors import MetapriorError

__all__ = ["run"]


def run(words: Sequence[str]) -> None:
    """Serve a page with a fitted field, or with what a prior makes of a prompt, until Ctrl-C."""
    from metaprior.fields.generate import ZOO, generate, with_source
    from metaprior.fields.network import load_field
    from metaprior.fields.view import View, with_notes

    parser = Parser("view", "Look at a field from every side, in a page that this machine serves.")
    options = parser.options
    options.add_argument("what", help="a folder that 'metaprior fit' wrote, a field file, or a prompt")
    options.add_argument("--prior", type=str, default=ZOO, help="what makes fields of prompts")
    options.add_argument("--device", default="cpu", help="where to compute fields of prompts: cpu, cuda, cuda:1")
    options.add_argument("--host", type=str, default="127.0.0.1", help="who may look; 0.0.0.0 for every machine")
    options.add_argument("--port", type=int, default=8080, help="of the page; the next free one if it is taken")
    options.add_argument("--size", type=int, default=192, help="the width of what is drawn, in pixels")
    options.add_argument("--seconds", type=float | None, default=None, help="how long to serve; None until Ctrl-C")
    parsed = parser.parse(words)
    page = {"host": parsed.host, "port": parsed.port, "size": parsed.size}
    if (parsed.what.strip() and Path(parsed.what).exists()) or parsed.what.endswith(".safetensors"):
        for name in ("prior", "device"):
            if parsed[name] != parser.options.get_defaults()[name]:
                raise MetapriorError(f"--{name}: it is for prompts, and {parsed.what} is a field")
        network, facts = load_field(parsed.what)
        weights = {name: value.detach() for name, value in network.weights.items()}
        view = View(network.field, weights, facts.get("prompt", ""), **page)
    else:
        prior, source = with_source(parsed.prior)
        to_device(prior, parsed.device)
        make = partial(generate, prior=prior, source=source)
        (field, weights), notes = with_notes(make, parsed.what)
        for note in notes:
            warnings.warn(note, stacklevel=1)
        view = View(field, weights, parsed.what, make, notes, **page)
    console.print(f"http://{parsed.host}:{view.port} shows {parsed.what}; Ctrl-C ends it")
    try:
        end = None if parsed.seconds is None else time.monotonic() + parsed.seconds
        while end is None or time.monotonic() < end:
            time.sleep(0.2)
    except KeyboardInterrupt:
        pass
    finally:
        view.stop()
