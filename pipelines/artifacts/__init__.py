"""Where models are kept: MLflow's registry and the workspace."""
