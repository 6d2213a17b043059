"""Loads images and PDF pages from untrusted bytes, within limits of size and time."""
