"""One folder per model family. Families never import each other; what two share lives in ``engine.layers``."""
