"""Sources: anything that yields Items, one file each."""
