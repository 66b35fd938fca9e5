"""What a task is, and where tasks come from."""

from metaprior.tasks.cifarfs import CIFARFS
from metaprior.tasks.class_incremental import ClassIncremental
from metaprior.tasks.corrupted import Corrupted
from metaprior.tasks.electricity import Electricity
from metaprior.tasks.episode import Episode, Examples, TaskSpec
from metaprior.tasks.glyph_scenes import GlyphScenes
from metaprior.tasks.glyphs import Glyphs
from metaprior.tasks.images import Images
from metaprior.tasks.linear import Linear
from metaprior.tasks.nuclei import Nuclei
from metaprior.tasks.omniglot import Omniglot
from metaprior.tasks.roaming import Roaming
from metaprior.tasks.scores import restrict, task_losses, task_scores
from metaprior.tasks.sequences import permuted_glyphs, split_digits
from metaprior.tasks.sinusoid import Sinusoid
from metaprior.tasks.source import ClassPool, ClassSource, Split, TaskSource, TestSet
from metaprior.tasks.stream import Stream
from metaprior.tasks.streams import Streams, StreamSource
from metaprior.tasks.strokes import Strokes
from metaprior.tasks.table import Table

__all__ = [
    "CIFARFS",
    "ClassIncremental",
    "ClassPool",
    "ClassSource",
    "Corrupted",
    "Electricity",
    "Episode",
    "Examples",
    "GlyphScenes",
    "Glyphs",
    "Images",
    "Linear",
    "Nuclei",
    "Omniglot",
    "Roaming",
    "Sinusoid",
    "Split",
    "Stream",
    "StreamSource",
    "Streams",
    "Strokes",
    "Table",
    "TaskSource",
    "TaskSpec",
    "TestSet",
    "permuted_glyphs",
    "restrict",
    "split_digits",
    "task_losses",
    "task_scores",
]
