"""A new body for a message in the queue (cleanup_body_edit, cleanup_region).

The new body goes where the old one was; when there is no more room, a pointer leads to the end of
the file.  Room that a body has taken once is used again when a later milter replaces it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from mta.wire.record import (
    REC_TYPE_NORM,
    REC_TYPE_PTR,
    REC_TYPE_PTR_PAYL_SIZE,
    encode,
    encode_ptr,
    put_text,
    record_size,
)

if TYPE_CHECKING:
    from mta.cleanup.state import State

_PTR_SIZE = record_size(REC_TYPE_PTR_PAYL_SIZE)


@dataclass(slots=True)
class Region:
    """A piece of the queue file for body records; its length is 0 while it grows at the end."""

    start: int
    length: int
    write_offset: int


def overwrite(out: bytearray, offset: int, data: bytes) -> None:
    """Puts bytes in the place of others, or at the end."""
    out[offset : offset + len(data)] = data


def pointer(target: int) -> bytes:
    """A pointer record."""
    return encode(REC_TYPE_PTR, encode_ptr(target))


def _open_region(state: State, size: int) -> Region:
    """The first free region that is large enough, or a new one at the end of the file."""
    free: list[Region] = state.free_regions
    for place, region in enumerate(free):
        if region.length >= size:
            del free[place]
            region.write_offset = region.start
            return region
    end = len(state.out)
    return Region(end, 0, end)


def body_edit_start(state: State) -> None:
    """Forgets the body: its regions are free."""
    state.cont_length = state.body_offset - state.data_offset
    if state.body_regions is None:
        start = state.append_hdr_pt_target
        state.body_regions = [Region(start, state.xtra_offset - start, start)]
        state.free_regions = []
    state.free_regions.extend(state.body_regions)
    region = _open_region(state, _PTR_SIZE)
    state.curr_body_region = region
    state.body_regions = [region]
    state.append_hdr_pt_target = region.start
    overwrite(state.out, state.append_hdr_pt_offset, pointer(region.start))


def body_edit_write(state: State, line: bytes) -> None:
    """Adds a line."""
    region: Region = state.curr_body_region
    if region.length > 0:
        used = region.write_offset - region.start
        needed = record_size(len(line)) + _PTR_SIZE
        if needed > region.length - used:
            state.cont_length += used
            following = _open_region(state, needed)
            overwrite(state.out, region.write_offset, pointer(following.start))
            region.write_offset += _PTR_SIZE
            state.body_regions.append(following)
            state.curr_body_region = region = following
    data = bytearray()
    put_text(data, line, state.tables.line_length_limit, REC_TYPE_NORM)
    if state.ok:
        overwrite(state.out, region.write_offset, bytes(data))
        region.write_offset += len(data)
        if len(state.out) > state.threshold:
            state.too_big()


def body_edit_finish(state: State) -> None:
    """The new body is complete: a pointer leads back to the end of the content."""
    region: Region = state.curr_body_region
    state.cont_length += region.write_offset - region.start
    overwrite(state.out, region.write_offset, pointer(state.xtra_offset))
    region.write_offset += _PTR_SIZE
    if region.length == 0:
        region.length = region.write_offset - region.start
