"""Definitions from Unihan, pictures from fonts, and the data set made of both, all without torch."""
