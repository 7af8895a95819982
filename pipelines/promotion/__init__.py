"""Promotion: whether a challenger may become the champion, and what became of that."""
