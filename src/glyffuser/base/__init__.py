"""What everything else stands on: errors, atomic files, memory, devices, seeded noise, pictures, films, weights."""
