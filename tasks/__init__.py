"""What a job does: one module a family, bodies of a few lines."""
