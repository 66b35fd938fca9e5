import os
import tempfile

import torch

# Computed data go to a folder of this run, so that no test depends on what an earlier version cached.
_cache = tempfile.TemporaryDirectory(prefix="metaprior-tests-")
os.environ.setdefault("METAPRIOR_CACHE", _cache.name)
torch.set_num_threads(int(os.environ.get("OMP_NUM_THREADS", "1")))
