"""How fast this machine is at it: training, sampling, cold starts, and quality against time, a table each."""
