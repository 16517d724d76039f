"""A doubly linked list whose members can be unlinked, or linked in the middle, in constant time."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Generic, TypeVar

T = TypeVar("T")


class Node(Generic[T]):
    """The place of a value in one list."""

    __slots__ = ("next", "prev", "value")

    def __init__(self, value: T) -> None:
        self.value = value
        self.prev: Node[T] | None = None
        self.next: Node[T] | None = None


class Linked(Generic[T]):
    """The list: ``first`` and ``last`` are its ends."""

    __slots__ = ("first", "last")

    def __init__(self) -> None:
        self.first: Node[T] | None = None
        self.last: Node[T] | None = None

    def insert_after(self, prev: Node[T] | None, node: Node[T]) -> None:
        """Links a node behind another, at the head for None."""
        node.prev = prev
        node.next = self.first if prev is None else prev.next
        if node.next is None:
            self.last = node
        else:
            node.next.prev = node
        if prev is None:
            self.first = node
        else:
            prev.next = node

    def unlink(self, node: Node[T]) -> None:
        """Takes a node out."""
        if node.prev is None:
            self.first = node.next
        else:
            node.prev.next = node.next
        if node.next is None:
            self.last = node.prev
        else:
            node.next.prev = node.prev
        node.prev = node.next = None

    def __iter__(self) -> Iterator[T]:
        node = self.first
        while node is not None:
            following = node.next
            yield node.value
            node = following
