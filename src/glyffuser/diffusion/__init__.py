"""The diffusion core, on torch alone: schedules, process, guidance, samplers."""
