"""Figures of the diffusion process and of the network that reverses it."""
