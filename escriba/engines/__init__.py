"""Readers of pages, one file an engine, found by the entry point group escriba.engines."""
