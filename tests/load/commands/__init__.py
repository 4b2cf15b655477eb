"""What a load client can be asked to do."""
