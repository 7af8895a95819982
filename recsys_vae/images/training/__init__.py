"""Training of image models and of priors over codes."""
