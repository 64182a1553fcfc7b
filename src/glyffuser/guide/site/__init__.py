"""The local site around the figures: pages, templates, the font they embed."""
