"""Distillation: a large classifier teaches a small ViT, on images that need no labels."""
