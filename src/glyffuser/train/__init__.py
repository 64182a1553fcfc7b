"""From a data set to a model: what a step sees, the optimiser, checkpoints, previews and the loop."""
