"""The image autoencoders that the recommender descends from, one file a model."""
