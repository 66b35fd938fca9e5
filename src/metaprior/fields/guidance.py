"""Guides: what says of pictures of a field, and a prompt, how they should change. Diffusion models do.

A real model is for a GPU: the pictures go through a network of a billion weights at every step.

Axis letters: V views, H height, W width, L tokens, D text features, C latent channels.
"""

from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor
from torch.nn import functional

from metaprior.errors import MetapriorError, check_positive, missing

__all__ = ["Diffusion", "Guidance"]


_PREDICTS = ("epsilon", "v_prediction")


class Guidance(Protocol):
    """What `refine` asks of a guide."""

    def __call__(self, images: Tensor, text: str, step: int) -> Tensor:
        """Return the gradient `(V, 3, H, W)` of what should become less, with respect to images in [0, 1].

        Args:
            images: `(V, 3, H, W)`, without a graph.
            text: what they should show.
            step: of the optimisation, counted from 0; the same arguments give the same gradient.
        """


class Diffusion:
    """Score distillation by a text-to-image model of diffusers, as Stable Diffusion is.

    The images are enlarged, encoded, noised, and the noise that the network does not expect in a picture of the text is
    what should become less: `w(t) (predicted - true)`, carried back through the encoder.

    Source: Poole et al. 2022 (DreamFusion, arXiv 2209.14988), eq. 3, with w(t) = 1 - alpha_t, as Stable-DreamFusion and
    HyperFields (arXiv 2310.17075) have it: t from 0.02 to 0.98, guidance scale 100.

    Args:
        pipeline: with `vae`, `unet`, `text_encoder`, `tokenizer` and `scheduler`, as that of Stable Diffusion has them.
        scale: of what the text adds to the expectation without it.
        least: the least noise, as a part of the most.
        most: the most.
        size: of the images that the model is shown, in pixels; None for those that it was made with.
        seed: of the noise.

    Raises:
        MetapriorError: if scale, least or size is not positive or `most` is out of range, or for a model that predicts
            neither the noise nor the velocity.
    """

    def __init__(
        self,
        pipeline: Any,
        scale: float = 100.0,
        least: float = 0.02,
        most: float = 0.98,
        size: int | None = None,
        seed: int = 0,
    ):
        check_positive(scale=scale, least=least, size=size)
        if not least < most <= 1:
            raise MetapriorError(f"least, most: expected least < most <= 1, got {least} and {most}")
        predicts = pipeline.scheduler.config.prediction_type
        if predicts not in _PREDICTS:
            raise MetapriorError(f"pipeline: expected a model that predicts {' or '.join(_PREDICTS)}, got '{predicts}'")
        self.pipeline = pipeline
        self.scale = scale
        self.least = least
        self.most = most
        if size is None:
            latents = pipeline.unet.config.sample_size
            if not isinstance(latents, int):
                raise MetapriorError(f"size: expected a number, since the model says {latents} of its own; got None")
            size = latents * 2 ** (len(pipeline.vae.config.block_out_channels) - 1)
        self.size = size
        self.seed = seed
        for part in (pipeline.vae, pipeline.unet, pipeline.text_encoder):
            part.requires_grad_(False).eval()
        self._said: dict[str, Tensor] = {}

    @staticmethod
    def load(name: str | Path, device: str | None = None, **arguments: Any) -> "Diffusion":
        """Load a Stable Diffusion by name or folder, in half precision on a GPU.

        Args:
            name: as diffusers knows it, such as "stabilityai/stable-diffusion-2-1-base"; or a folder.
            device: where to compute; None for a GPU of CUDA's if there is one, and else the CPU.
            arguments: of the constructor.

        Raises:
            MetapriorError: if diffusers is missing, or there is no such model.
        """
        try:
            from diffusers import StableDiffusionPipeline
            from diffusers.utils import is_accelerate_available
        except ImportError as error:
            raise missing("diffusers", "guidance", "guidance by diffusion") from error
        device = device or ("cuda" if torch.cuda.is_available() else "cpu")
        precision = torch.float16 if device.startswith("cuda") else torch.float32
        try:
            pipeline = StableDiffusionPipeline.from_pretrained(
                str(name), torch_dtype=precision, safety_checker=None, low_cpu_mem_usage=is_accelerate_available()
            )
        except (OSError, ValueError) as error:
            raise MetapriorError(f"guidance: '{name}' cannot be loaded: {str(error).splitlines()[0]}") from error
        return Diffusion(pipeline.to(device), **arguments)

    def __call__(self, images: Tensor, text: str, step: int) -> Tensor:
        """Return the gradient `(V, 3, H, W)` with respect to images `(V, 3, H, W)` in [0, 1]."""
        parts, schedule = self.pipeline, self.pipeline.scheduler
        weight = next(parts.unet.parameters())
        generator = torch.Generator().manual_seed(self.seed * 1_000_003 + step)
        images = images.detach().requires_grad_()
        with torch.enable_grad():
            large = functional.interpolate(images.to(weight), (self.size, self.size), mode="bilinear")
            encoded = parts.vae.encode(2 * large - 1).latent_dist.mean * parts.vae.config.scaling_factor
        times = schedule.config.num_train_timesteps
        time = torch.randint(int(self.least * times), max(int(self.most * times), 1), (1,), generator=generator)
        time = time.to(weight.device)
        noise = torch.randn(encoded.shape, generator=generator).to(encoded)
        with torch.no_grad():
            noised = schedule.add_noise(encoded, noise, time)
            both = parts.unet(
                torch.cat([noised, noised]), time, encoder_hidden_states=self._words(text, len(images))
            ).sample
            without, told = both.chunk(2)
            expected = without + self.scale * (told - without)
            kept = schedule.alphas_cumprod.to(weight)[time].view(-1, 1, 1, 1)
            if schedule.config.prediction_type == "v_prediction":
                # Salimans and Ho 2022 (arXiv 2202.00512), section 4: the velocity tells the noise.
                expected = kept.sqrt() * expected + (1 - kept).sqrt() * noised
        (gradient,) = torch.autograd.grad(encoded, images, (1 - kept) * (expected - noise))
        return gradient

    def _words(self, text: str, views: int) -> Tensor:
        """Return the features of no text, and of the text, for each view, `(2 V, L, D)`."""
        if text not in self._said:
            tokenizer, encoder = self.pipeline.tokenizer, self.pipeline.text_encoder
            device = next(encoder.parameters()).device
            with torch.no_grad():
                tokens = tokenizer(
                    ["", text],
                    padding="max_length",
                    max_length=tokenizer.model_max_length,
                    truncation=True,
                    return_tensors="pt",
                )
                self._said[text] = encoder(tokens.input_ids.to(device))[0]
        return self._said[text].repeat_interleave(views, 0)
