"""The vault: sets of dangerous images, kept private, whole, and accounted for."""
