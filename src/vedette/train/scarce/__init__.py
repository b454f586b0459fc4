"""Learning where labels are scarce: few shots, what to label next, and reviewed mistakes."""
