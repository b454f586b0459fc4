"""Training: probes, prompts, fine-tuning, LoRA, distillation; calibration and thresholds.

Every trainer takes :class:`~vedette.train.examples.Examples`, and ends in
:func:`~vedette.train.finishing.finish`, which writes a model folder.
"""
