"""What everything else stands on: errors, atomic files, memory, devices, processes, noise, pictures, films, weights."""
