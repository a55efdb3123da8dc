"""What a person typed, turned into what the indexes can answer."""
