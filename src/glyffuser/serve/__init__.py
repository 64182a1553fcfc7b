"""The studio: a page on this machine that draws glyphs, reads them, and lets them leave as pictures or a font."""
