"""What a model's scores of one picture rest on: regions, nearest labels, a relevance map."""
