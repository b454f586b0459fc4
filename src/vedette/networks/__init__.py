"""The zoo's networks in torch, from a checkpoint's files: to compile, attack and train."""
