"""Moments by the database's clock, which all processes share."""

from datetime import datetime
from typing import Any

from sqlalchemy import ColumnElement, func


def ago(seconds: float) -> ColumnElement[datetime]:
    """The moment that many seconds before the transaction began."""
    return func.now() - _interval(seconds)


def from_now(seconds: float | ColumnElement[Any]) -> ColumnElement[datetime]:
    """The moment that many seconds after the transaction began."""
    return func.now() + _interval(seconds)


def _interval(seconds: float | ColumnElement[Any]) -> ColumnElement[Any]:
    # Years, months, weeks, days, hours and minutes come first.
    return func.make_interval(0, 0, 0, 0, 0, 0, seconds)
