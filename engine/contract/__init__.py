"""All that the studio may import from the engine: values, errors, an HTTP client. No torch, nothing of ours above."""
