"""Policies that both algorithms share."""
