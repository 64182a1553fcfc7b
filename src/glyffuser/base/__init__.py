"""What everything else stands on: errors, atomic file writes, memory, devices, seeded noise, pictures, films, weights."""
