"""LoRA training of vision-language models, after PerspectiveVision (UnsafeBench, CCS 2025)."""
