"""One thread for the small tensors of these tests: two wait for each other whenever a core is busy elsewhere."""

import torch

torch.set_num_threads(1)
