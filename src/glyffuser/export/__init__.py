"""From a grey picture to what other programs use: outlines (SVG), fonts (TTF, OTF, WOFF2), a specimen of a font."""
