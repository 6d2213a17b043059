"""Dynamic batching over model processes, which are started, watched and replaced."""
