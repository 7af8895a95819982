"""Updates: a bundle learns what came in since it was trained, instead of everything again."""
