"""Guidance by a diffusion model that is built on the spot: a tiny network with random weights, which guides nowhere."""

import json
from types import SimpleNamespace

import pytest
import torch

from metaprior import save
from metaprior.cli import main
from metaprior.errors import MetapriorError
from metaprior.fields import Diffusion, refine
from metaprior.fields.refine import _GUIDED

diffusers = pytest.importorskip("diffusers")
transformers = pytest.importorskip("transformers")

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    torch.manual_seed(0)
    blocks = {"block_out_channels": (8, 8), "norm_num_groups": 4, "layers_per_block": 1}
    unet = diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=4,
        out_channels=4,
        cross_attention_dim=8,
        attention_head_dim=2,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        **blocks,
    )
    vae = diffusers.AutoencoderKL(
        latent_channels=4,
        down_block_types=("DownEncoderBlock2D", "DownEncoderBlock2D"),
        up_block_types=("UpDecoderBlock2D", "UpDecoderBlock2D"),
        **blocks,
    )
    text = transformers.CLIPTextConfig(
        vocab_size=50, hidden_size=8, intermediate_size=8, num_hidden_layers=1, num_attention_heads=2
    )
    folder = tmp_path_factory.mktemp("tokens")
    letters = [chr(code) for code in range(97, 97 + 20)]
    words = [*letters, *(f"{letter}</w>" for letter in letters), "<|startoftext|>", "<|endoftext|>"]
    (folder / "vocab.json").write_text(json.dumps({word: place for place, word in enumerate(words)}))
    (folder / "merges.txt").write_text("#version: 0.2\n")
    tokenizer = transformers.CLIPTokenizer(str(folder / "vocab.json"), str(folder / "merges.txt"), model_max_length=12)
    return SimpleNamespace(
        unet=unet,
        vae=vae,
        text_encoder=transformers.CLIPTextModel(text),
        tokenizer=tokenizer,
        scheduler=diffusers.DDIMScheduler(),
    )


def test_gradients_have_the_shape_of_images_and_repeat(pipeline):
    guide = Diffusion(pipeline, size=16)
    images = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    one, same, later = (guide(images, "a red ball", step) for step in (3, 3, 4))
    assert one.shape == images.shape
    assert one.isfinite().all()
    assert one.abs().max() > 0
    torch.testing.assert_close(one, same)
    assert not torch.allclose(one, later)
    assert not torch.allclose(one, guide(images, "dig", 3))


@pytest.mark.parametrize("predicts", ["epsilon", "v_prediction"])
def test_the_gradient_is_that_of_score_distillation(pipeline, predicts):
    """With a scale of 1 and t fixed, it is the encoder's transposed derivative of (1 - alpha) (predicted - noise)."""
    own = SimpleNamespace(**vars(pipeline) | {"scheduler": diffusers.DDIMScheduler(prediction_type=predicts)})
    guide = Diffusion(own, scale=1.0, least=0.5, most=0.501, size=8)
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(1))
    gradient = guide(images, "a ball", 0)
    draw = torch.Generator().manual_seed(0)
    time = torch.randint(500, 501, (1,), generator=draw)

    def encoded(images):
        return pipeline.vae.encode(2 * images - 1).latent_dist.mean * pipeline.vae.config.scaling_factor

    here = encoded(images)
    noise = torch.randn(here.shape, generator=draw)
    with torch.no_grad():
        words = guide._words("a ball", 1)[1:]
        alpha = own.scheduler.alphas_cumprod[time]
        noised = alpha.sqrt() * here + (1 - alpha).sqrt() * noise
        predicted = pipeline.unet(noised, time, encoder_hidden_states=words).sample
        if predicts == "v_prediction":
            clean = alpha.sqrt() * noised - (1 - alpha).sqrt() * predicted
            predicted = (noised - alpha.sqrt() * clean) / (1 - alpha).sqrt()
        wanted = (1 - alpha) * (predicted - noise)
    direction = torch.randn(images.shape, generator=draw)
    with torch.nn.attention.sdpa_kernel(torch.nn.attention.SDPBackend.MATH):  # which has forward derivatives
        _, change = torch.func.jvp(encoded, (images,), (direction,))
    torch.testing.assert_close((gradient * direction).sum(), (wanted * change).sum(), rtol=1e-3, atol=1e-5)


def test_fields_are_refined_by_it(pipeline, prior):
    own = prior(hidden=1)
    losses = []
    guide = Diffusion(pipeline, size=16)
    arguments = {"guidance": guide, "changes": "code", "steps": 2, "samples": 8, "report": losses.append}
    refined = refine(own, "a red ball", **arguments)
    assert [line.step for line in losses] == [1, 2]
    with torch.no_grad():
        before = own.start(1, about=["a red ball"]).weights["layers.1.weight"]
    assert not torch.allclose(refined["layers.1.weight"], before)


def test_a_folder_guides_what_is_generated(pipeline, prior, tmp_path, capsys):
    """A whole Stable Diffusion, as diffusers writes it, by its folder on the command line."""
    folder, run, out = tmp_path / "diffusion", tmp_path / "run", tmp_path / "ball.png"
    diffusers.StableDiffusionPipeline(
        **vars(pipeline), safety_checker=None, feature_extractor=None, requires_safety_checker=False
    ).save_pretrained(folder)
    save(prior(hidden=1), run)
    guide = Diffusion.load(folder)
    assert guide.size == 16  # 8 latents each way, halved once
    images = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(guide(images, "a ball", 0), Diffusion(pipeline)(images, "a ball", 0))
    words = ["--prior", str(run), "--guidance", str(folder), "--steps", "2", "--size", "8", "--out", str(out)]
    assert main(["generate", "a red ball", *words]) == 0
    assert "a picture of 8 x 8 pixels" in " ".join(capsys.readouterr().out.split())
    assert out.is_file()


def test_any_function_is_a_guide(prior):
    """One that wants every picture darker gets darker pictures."""
    own = prior(hidden=1)
    shown = []

    def darker(images, text, step):
        assert images.shape == (1, 3, _GUIDED, _GUIDED)
        assert text == "a red ball"
        shown.append(images.mean().item())
        return torch.full_like(images, 1.0 / images.numel())

    refine(own, "a red ball", guidance=darker, changes="everything", steps=12, samples=8, learning_rate=0.01)
    assert sum(shown[-3:]) < sum(shown[:3]) - 0.05


def test_wrong_models(pipeline, tmp_path):
    with pytest.raises(MetapriorError, match=r"guidance: '.*' cannot be loaded"):
        Diffusion.load(tmp_path, device="cpu")
    with pytest.raises(MetapriorError, match="least, most: expected least < most"):
        Diffusion(pipeline, least=0.5, most=0.4)
    other = SimpleNamespace(**vars(pipeline) | {"scheduler": diffusers.DDIMScheduler(prediction_type="sample")})
    with pytest.raises(MetapriorError, match="expected a model that predicts epsilon or v_prediction, got 'sample'"):
        Diffusion(other)
