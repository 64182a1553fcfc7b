"""The mathematics behind figures: densities and scores, the layout of the map, the structure of glyphs."""
