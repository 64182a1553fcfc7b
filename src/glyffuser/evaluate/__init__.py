"""One evaluation of one model: glyphs drawn, measured, compared with real ones, and reported."""
