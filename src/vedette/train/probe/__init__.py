"""Probes: small classifiers over the embeddings of a frozen backbone, all labels at once."""
