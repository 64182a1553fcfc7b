"""The visual guide: figures made from the data set and the model, and the local site built around them."""
