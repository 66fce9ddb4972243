"""Provisional."""

from typing import Any


def suggest(*args: Any, **kwargs: Any) -> Any: ...
