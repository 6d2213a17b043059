"""The model home: which models are known, where they come from and what is installed."""
