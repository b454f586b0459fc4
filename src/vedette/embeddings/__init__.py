"""Embeddings on disk: read in chunks, scored by a head on every core, written as they come."""
