"""What a rank holds in memory: models that stay, where their components are, embeddings of prompts."""
