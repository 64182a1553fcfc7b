"""What everything stands on: errors, files that are never half written, devices, seeded noise, pictures."""
