"""Escriba: documents in, Markdown, JSON and text out; every page accounted for."""
