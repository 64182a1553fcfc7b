"""Measuring glyphs: are they well formed, do they mean what was asked, are they new and varied."""
