"""Models: their files, the engines that run them, and what each family does before and after."""
