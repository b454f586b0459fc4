"""Small classifiers over CLIP image embeddings: one file for each published head."""
