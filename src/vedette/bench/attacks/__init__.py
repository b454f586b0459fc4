"""Attacks, one file each, and the checks that tell whether their numbers can be believed."""
