"""Live streams: what happened, in the browsers that look, as it happens."""
