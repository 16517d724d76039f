"""Real LMDB files, as postmap(1) of a real Postfix writes them."""

from __future__ import annotations

from pathlib import Path

import pytest

from mta.dict.lmdb_file import LmdbError, lmdb_pairs

lmdb = pytest.importorskip("lmdb")


def _written(tmp_path: Path, pairs: dict[bytes, bytes], rounds: int = 1) -> bytes:
    path = tmp_path / "table.lmdb"
    for _ in range(rounds):
        with (
            lmdb.open(str(path), subdir=False, map_size=1 << 26) as env,
            env.begin(write=True) as transaction,
        ):
            for key, value in pairs.items():
                transaction.put(key, value)
    return path.read_bytes()


@pytest.mark.parametrize("count", [0, 1, 50, 5000])
def test_all_pairs_come_out_in_the_order_of_their_keys(tmp_path: Path, count: int) -> None:
    pairs = {b"key%05d" % n: b"value of %d" % n for n in range(count)}
    assert list(lmdb_pairs(_written(tmp_path, pairs))) == sorted(pairs.items())


def test_values_longer_than_a_page_are_whole(tmp_path: Path) -> None:
    pairs = {b"short": b"x", b"long": b"y" * 20_000}
    assert dict(lmdb_pairs(_written(tmp_path, pairs))) == pairs


def test_the_last_transaction_counts(tmp_path: Path) -> None:
    _written(tmp_path, {b"a": b"1"})
    _written(tmp_path, {b"a": b"2"})
    assert dict(lmdb_pairs(_written(tmp_path, {b"b": b"3"}, rounds=2))) == {b"a": b"2", b"b": b"3"}


@pytest.mark.parametrize("data", [b"", b"rubbish" * 100, bytes(8192)])
def test_what_is_no_lmdb_file_is_an_error(data: bytes) -> None:
    with pytest.raises(LmdbError):
        list(lmdb_pairs(data))


def test_a_torn_file_is_an_error_and_never_a_crash(tmp_path: Path) -> None:
    data = _written(tmp_path, {b"key%05d" % n: b"v" * 50 for n in range(2000)})
    for end in range(0, len(data), 4099):
        try:
            list(lmdb_pairs(data[:end]))
        except LmdbError:
            continue
