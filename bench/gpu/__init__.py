"""Measurements for a machine with a GPU."""
