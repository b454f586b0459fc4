"""What has changed in the tables, one file for each change, in ``versions/``."""
