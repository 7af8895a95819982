"""From a split to a bundle: train, choose the fallback tiers, publish."""
