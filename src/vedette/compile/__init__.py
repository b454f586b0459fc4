"""From other frameworks' networks to files that the backends run, made once and kept."""
