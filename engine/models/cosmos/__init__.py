"""The Cosmos family: Predict2's video DiT and its checkpoints. The bundled model is a small one of these."""
