"""Who acts, and the whole episodes that come of it."""
