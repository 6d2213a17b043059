"""The blob store: image bytes are put once and travel as a reference."""
