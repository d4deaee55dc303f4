"""Identity: why identifiers are one person or not, what the graph looks like, what edited rules would change."""
