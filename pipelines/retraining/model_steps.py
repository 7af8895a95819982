"""Steps about the model: train or update, evaluate, compare with the champion, publish, promote."""
