"""NeMo DFM's DiT: a video transformer trained with Megatron, sampled here without Megatron."""
