"""Features of observations, and of observations and actions."""
