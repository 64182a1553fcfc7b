"""Figures of how words steer what is drawn."""
