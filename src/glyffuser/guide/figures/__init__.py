"""The figures, one module per subject: the data, the process, and how it is steered."""
