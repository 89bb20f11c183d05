"""What a run leaves behind: plain code, a model, a report, and a manifest of hashes."""
