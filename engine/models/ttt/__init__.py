"""TTT-Video: a CogVideoX transformer that denoises many 3 s segments jointly through test-time-training layers."""
