"""Pages that draw: the studio, the explorer and the labelling page."""
