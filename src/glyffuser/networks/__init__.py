"""The denoising networks and the layers they are made of."""
