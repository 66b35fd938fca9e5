"""Masked diffusion of token sequences as a prior: pre-trained to tell tokens that are hidden, it gives features.

Axis letters: T tasks, M sequences, L places, K tokens, F features.
"""

from collections.abc import Sequence
from typing import Any, ClassVar, Self

import torch
from torch import Tensor, nn
from torch.nn import functional

from metaprior.errors import MetapriorError, ShapeError, check_positive
from metaprior.molecules.batches import by_size
from metaprior.molecules.generator import SAMPLED_AT_ONCE, MoleculeGenerator
from metaprior.molecules.token_featurisers import Tokens, tokens_of
from metaprior.nets import Transformer, net_for
from metaprior.nets.pooling import mean_and_deviation
from metaprior.registry import priors
from metaprior.tasks.episode import TaskSpec

__all__ = ["SequenceDiffusion", "first_of"]


@priors.register("sequence_diffusion")
class SequenceDiffusion(MoleculeGenerator):
    """Acquired on SMILES or amino-acid sequences without labels, by telling hidden tokens; adapted by a probe.

    What the network makes of a sequence, hidden in part or not, are features; a task has a ridge regression or a
    logistic regression of its own on them. The network also draws new sequences, `sample`.

    Features and samples are those of a running average of the weights. Which tokens a step hides comes from a generator
    seeded by the sequences of the step.

    Args:
        net: a `Transformer` without outputs.
        vocabulary: what the K ids of tokens stand for, the first that of 1.
        outputs: C or D.
        decay: of the average of the weights; less in the first steps.
        noise_level: the share of tokens that are hidden when features are taken, from 0 to 1.
        layer: whose states are the features, from 0 for the embedding to the number of layers; None for the last.
        draws: of hidden tokens that features are averaged over, where any are hidden.
        batch: sequences of a task that a step learns from, at most.

    Source: masked diffusion, Sahoo et al. 2024 (arXiv 2406.07524) and Shi et al. 2024 (arXiv 2406.04329), with the
    schedule that hides each token with probability t: a bound of the likelihood is the integral over t of the
    cross-entropy of all hidden tokens over t. Differs: that integral is taken given how many are hidden, which leaves
    a number from 1 to L, all alike, and the mean over the hidden tokens, as of models of any order (Hoogeboom et al.
    2022, arXiv 2110.02037). The bound is per token, of a sequence whose length is known; a mean over sequences.

    Example:
        >>> from metaprior.tasks import Examples
        >>> prior = SequenceDiffusion(Transformer(inputs=4, tokens=2, width=8, layers=1), vocabulary=("A", "B"))
        >>> x = torch.tensor([[[1.0, 2.0, 0.0, 0.0], [2.0, 2.0, 2.0, 0.0], [1.0, 0.0, 0.0, 0.0]]])
        >>> state = prior.observe(prior.start(1), Examples(x, x[..., -1:]))
        >>> prior.predict(state, x).shape
        torch.Size([1, 3, 1])
    """

    needs_net: ClassVar[str | None] = "transformer"
    outer: ClassVar[dict[str, Any]] = {"optimiser": "adam", "learning_rate": 1e-3, "tasks_per_step": 4}

    def __init__(
        self,
        net: Transformer,
        vocabulary: Sequence[str],
        outputs: int = 1,
        decay: float = 0.999,
        noise_level: float = 0.0,
        layer: int | None = None,
        draws: int = 4,
        batch: int = 32,
    ):
        if not isinstance(net, Transformer) or net.outputs is not None:
            raise MetapriorError("net: expected a Transformer without outputs, which tokens are told by")
        if len(vocabulary) != net.tokens:
            raise MetapriorError(f"vocabulary: expected the {net.tokens} tokens of the network, got {len(vocabulary)}")
        check_positive(draws=draws)
        super().__init__(net, outputs, decay, noise_level, layer, draws, batch)
        self.vocabulary = tuple(vocabulary)

    @classmethod
    def for_tasks(cls, spec: TaskSpec, net: nn.Module | None = None, seed: int = 0, **arguments: Any) -> Self:
        """Build with a transformer over the tokens of the tasks.

        Raises:
            MetapriorError: if the inputs are no token ids.
        """
        if spec.tokens is None:
            raise MetapriorError(
                "tasks: expected token ids, which the featurisers 'smiles_tokens' and 'residue_tokens' give, with "
                f"nothing beside them; got inputs of shape {spec.x_shape}"
            )
        found = net_for("transformer", spec, headless=True, seed=seed) if net is None else net
        return cls(found, **({"outputs": spec.outputs, "vocabulary": spec.tokens} | arguments))  # type: ignore[arg-type]

    @torch.no_grad()
    def encode_layers(
        self, molecules: Tokens | Tensor, noise_level: float | None = None, draws: int | None = None
    ) -> Tensor:
        """Return the features `(L + 1, M, F)` of all layers, that of the embedding first; takes what `encode` does.

        Of each sequence the same places are hidden, whatever else is encoded with it.

        Raises:
            ShapeError: if a sequence is longer than the network has places, or has ids beyond its tokens.
        """
        check_positive(draws=draws)
        if not isinstance(molecules, Tensor | Tokens):
            raise ShapeError(
                f"molecules: expected rows of token ids, as the featuriser gives them, got {type(molecules).__name__}"
            )
        tokens = (tokens_of(molecules) if isinstance(molecules, Tensor) else molecules).trimmed()
        if tokens.mask.shape[1] > self.net.inputs:
            raise ShapeError(f"molecules: expected at most {self.net.inputs} tokens, got {tokens.mask.shape[1]}")
        if tokens.mask.any() and int(tokens.ids.max()) > self.net.tokens:
            raise ShapeError(f"molecules: expected ids of {self.net.tokens} tokens, got {int(tokens.ids.max())}")
        level = self.noise_level if noise_level is None else noise_level
        times = (self.draws if draws is None else draws) if level else 1
        scores = torch.rand(times, self.net.inputs, generator=torch.Generator().manual_seed(0)).to(tokens.ids.device)

        def features(part: Tokens, index: Tensor) -> Tensor:
            count, found = (part.sizes * level).round(), []
            for score in scores[:, : part.mask.shape[1]]:
                hidden = first_of(count, score.expand(part.mask.shape), part.mask)
                states = self.average.states(part.ids.masked_fill(hidden, 0), part.mask)
                found.append(torch.stack([mean_and_deviation(state, part.mask) for state in states], dim=1))
            return torch.stack(found).mean(0)

        if not len(tokens.mask):
            return self._weight.new_zeros(self.net.layers + 1, 0, self.features)
        return by_size(features, tokens, self.net.at_once).transpose(0, 1)

    @torch.no_grad()
    def sample(
        self, molecules: int, seed: int = 0, steps: int | None = None, sizes: Sequence[int] | None = None
    ) -> list[str]:
        """Draw new sequences.

        Args:
            molecules: M.
            seed: of everything that is drawn.
            steps: from all tokens hidden to none; None for one token at a time, which is slowest and exact.
            sizes: M numbers of tokens; None to draw them as they were met in acquisition.

        Raises:
            MetapriorError: if no sequences were met and no sizes are given, or the network has not so many places.
        """
        check_positive(steps=steps)
        generator = torch.Generator().manual_seed(seed)
        counts = self._sizes_of_samples(molecules, sizes, generator)
        if int(counts.max()) > self.net.inputs:
            raise MetapriorError(f"sizes: expected at most {self.net.inputs} tokens, got {int(counts.max())}")
        drawn = [self._revealed(part, generator, steps) for part in counts.split(SAMPLED_AT_ONCE)]
        return ["".join(self.vocabulary[one - 1] for one in row if one) for part in drawn for row in part.tolist()]

    def _revealed(self, sizes: Tensor, generator: torch.Generator, steps: int | None) -> Tensor:
        """Return ids `(M, L)` of sequences of sizes `(M,)`, revealed in a random order, some at each step."""
        longest = int(sizes.max())
        mask = torch.arange(longest) < sizes[:, None]
        scores, times = torch.rand(mask.shape, generator=generator), min(steps or longest, longest)
        ids, device = torch.zeros(mask.shape, dtype=torch.int64), self._weight.device
        known = torch.zeros_like(mask)
        for step in range(1, times + 1):
            shown = first_of((sizes * step / times).ceil(), scores, mask)
            new = shown & ~known
            if new.any():
                state = self.average.states(ids.to(device), mask.to(device))[-1][new.to(device)]
                chances = self.average.logits(state).double().softmax(-1).cpu()
                ids[new] = torch.multinomial(chances, 1, generator=generator).flatten() + 1
            known = shown
        return ids

    def _errors(self, x: Tensor, parts: Sequence[tuple[int, int]]) -> Tensor:
        """Return the mean cross-entropy `(M,)` of the tokens that are hidden in rows of ids `(M, L)`, in nats."""
        tokens, shares, scores, done = tokens_of(x), [], [], 0
        for count, seed in parts:
            generator = torch.Generator().manual_seed(seed % 2**63)
            # One share from each of as many parts of its range, so that the loss varies less from step to step.
            order = torch.randperm(count, generator=generator)
            shares.append((order + torch.rand(count, generator=generator)) / count)
            # Neither padding nor the sequences of other tasks change what is drawn.
            longest = tokens.take(slice(done, done + count)).trimmed().mask.shape[1]
            drawn = torch.rand(count, longest, generator=generator)
            scores.append(functional.pad(drawn, (0, x.shape[1] - longest)))
            done += count
        share, score = torch.cat(shares).to(x.device), torch.cat(scores).to(x.device)
        hidden = first_of((share * tokens.sizes).floor() + 1, score, tokens.mask)

        def errors(part: Tokens, index: Tensor) -> Tensor:
            asked = hidden[index, : part.mask.shape[1]]
            state = self.net.states(part.ids.masked_fill(asked, 0), part.mask)[-1]
            wrong = functional.cross_entropy(self.net.logits(state[asked]), part.ids[asked] - 1, reduction="none")
            owner = asked.nonzero()[:, 0]
            return wrong.new_zeros(len(asked)).index_add(0, owner, wrong) / asked.sum(1).clamp(min=1)

        return by_size(errors, tokens.trimmed(), self.net.at_once)

    def _sizes(self, x: Tensor) -> Tensor:
        return tokens_of(x).sizes


def first_of(count: Tensor, scores: Tensor, mask: Tensor) -> Tensor:
    """Return True `(M, L)` at the `count` places `(M,)` of least score among those that the mask has.

    Example:
        >>> scores, mask = torch.tensor([[0.3, 0.1, 0.2, 0.0]]), torch.tensor([[True, True, True, False]])
        >>> first_of(torch.tensor([2]), scores, mask)
        tensor([[False,  True,  True, False]])
    """
    ranks = scores.masked_fill(~mask, torch.inf).argsort(1).argsort(1)
    return (ranks < count[:, None]) & mask
