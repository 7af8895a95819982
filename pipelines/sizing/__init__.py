"""Sizing: what ingest, training, a bundle and serving take, before any of them begins."""
