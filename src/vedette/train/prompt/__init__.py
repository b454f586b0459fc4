"""Prompt learning: two learned prompts for each label, in the place of a classifier's weights."""
