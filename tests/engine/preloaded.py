"""Imported once by the process that ``forked`` forks ranks from: what a rank imports before its first job."""

import gc

from engine.runtime.worker import prepare_environment

prepare_environment()  # before torch is imported, as in a rank

import torch.distributed.checkpoint  # noqa: E402, F401
from PIL import Image  # noqa: E402

from engine.contract.families import FAMILIES  # noqa: E402
from engine.models import family  # noqa: E402
from engine.runtime import loop  # noqa: E402, F401
from engine.service import __main__, fake_worker  # noqa: E402, F401

Image.init()
for _name in FAMILIES:
    family(_name).warm_up()
gc.collect()
gc.freeze()  # so that collections in the ranks leave the shared pages as they are
