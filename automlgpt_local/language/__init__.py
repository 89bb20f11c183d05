"""What people write, read by rules: requests, messages to a run, questions about a table."""
