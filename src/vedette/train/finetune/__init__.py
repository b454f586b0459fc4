"""Fine-tuning of ViT and CLIP image towers: every layer in its turn, resumable to the bit."""
