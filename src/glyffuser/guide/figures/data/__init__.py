"""Figures of what is learnt from: glyphs, and the map of them."""
