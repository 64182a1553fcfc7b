"""What reads a finished glyph: its radical, its strokes, whether it is well formed; and the training of that."""
