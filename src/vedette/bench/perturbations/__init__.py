"""Changes that pictures meet in the wild or that evaders make, and how a predictor bears them."""
