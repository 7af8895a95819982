"""Layers, likelihoods and quantisers that image models share."""
