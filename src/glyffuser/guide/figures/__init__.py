"""The figures, one module a subject: what is learnt from, the process, and how it is steered."""
