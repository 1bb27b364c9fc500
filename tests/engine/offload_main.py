"""Run by ``test_cuda``: renders without offload and then with it, and prints where each component is after each job.

Comes in: a folder with the tiny model, a folder for the workspace. Goes out: one line of JSON: for each kind of offload
the devices of the network and of the autoencoder, and whether the text encoder is held.
"""

import json
import sys
from pathlib import Path

from torch import nn

from engine.contract.jobs import Speed
from engine.runtime.link import ControlFlags
from engine.runtime.memory.model_cache import ModelCache, model_key
from engine.runtime.pipeline import run
from engine.runtime.ranks import connect
from engine.runtime.render_context import RankContext
from engine.storage.workspace import Workspace
from tests.engine.runtime.group import tiny_job


def main(root: Path, folder: Path) -> None:
    ranks, workspace = connect(), Workspace.at(folder)
    cache = ModelCache(ranks, root / "cards", root / "models")
    context = RankContext(ranks, cache, workspace, lambda event: None, ControlFlags())
    places = {}
    for seed, offload in enumerate(("none", "components")):
        job = tiny_job(root, seed=seed, speed=Speed(precision="float32", offload=offload))
        (workspace.job_folder(job.id)).mkdir(parents=True, exist_ok=True)
        run(job, context)
        model = cache.model(model_key(job))
        assert model.codecs is not None
        encoder = cache.prompt_cache(workspace).encoder.loaded is not None
        places[offload] = [device_of(model.network), device_of(model.codecs.autoencoder), encoder]
    print(json.dumps(places))


def device_of(module: object) -> str:
    assert isinstance(module, nn.Module)
    (kind,) = {parameter.device.type for parameter in module.parameters()}
    return kind


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
