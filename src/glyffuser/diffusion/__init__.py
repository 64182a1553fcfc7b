"""The diffusion core, on torch alone: schedules, process, conditions, guidance, samplers."""
