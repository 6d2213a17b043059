"""The folder of the checkout that contains this code."""

from pathlib import Path

CHECKOUT = Path(__file__).resolve().parent.parent
