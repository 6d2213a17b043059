"""One module for each inference engine, and the choice of the fastest engine for a model."""
