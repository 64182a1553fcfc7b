"""From a prompt to files: the pipeline, its schedulers, batched drawing, and what is written to disk."""
