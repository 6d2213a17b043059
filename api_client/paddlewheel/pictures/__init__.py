"""Drawings of results: boxes on pictures, lines beside pages, captions below. Needs the extra `pictures`."""
