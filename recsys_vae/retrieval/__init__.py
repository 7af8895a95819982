"""Indexes behind one contract: which items have the largest inner product with a query."""
