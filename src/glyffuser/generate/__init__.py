"""From a prompt to a file: the pipeline, its schedulers, drawing in batches, and what is written."""
