"""Re-ranking: caps, quotas and calibration of lists, the same in the service, in batch and in evaluation."""
