"""One short function for each client message: from a typed payload to a service and back to a reply."""
