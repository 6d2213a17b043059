"""Every command that an operator types."""
