"""What each family of models does before and after its network."""
