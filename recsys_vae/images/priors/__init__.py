"""Learned priors over the codes of quantised models."""
