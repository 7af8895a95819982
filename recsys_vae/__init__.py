"""Collaborative filtering with variational and denoising autoencoders: arrays in, arrays out."""

__version__ = "0.1.0"
