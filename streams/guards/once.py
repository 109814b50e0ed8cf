"""Lazy parts of what is read of a text: each is read when a guard first asks for it, and kept.

Most candidates that are refused are so by the first guards: what the others compare is then read of neither text.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Generic, Self, TypeVar, overload

T = TypeVar("T")


class Once(Generic[T]):
    """A part that is read once an object; its function must depend on nothing but the object.

    As `functools.cached_property`, which takes a lock at each first use up to Python 3.11: as long as a part is read.
    """

    def __init__(self, read: Callable[[Any], T]) -> None:
        """`read` reads the part of an object."""
        self._read = read
        self._name = ""
        self.__doc__ = read.__doc__

    def __set_name__(self, owner: type[Any], name: str) -> None:
        self._name = name

    @overload
    def __get__(self, found: None, owner: type[Any]) -> Self: ...

    @overload
    def __get__(self, found: object, owner: type[Any]) -> T: ...

    def __get__(self, found: object | None, owner: type[Any]) -> Self | T:
        if found is None:
            return self
        # The next look finds it among the object's own attributes, and does not come here.
        value = found.__dict__[self._name] = self._read(found)
        return value
