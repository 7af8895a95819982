"""A ranker of trees over what several models find: candidates, their features, and what is learned from them."""
