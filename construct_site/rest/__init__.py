"""What every REST endpoint shares: how bodies are read, and how errors are answered. No rules of its own."""
