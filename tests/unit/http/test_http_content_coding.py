"""Content codings: decoded however the data is split, in bounded chunks; anything else is a CodingError."""

import gzip
import itertools
import sys
import zlib
from collections.abc import Callable

import brotli
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.http.client.content_coding import PIECE_BYTES, CodingError, ContentDecoder, is_known

if sys.version_info >= (3, 14):
    from compression import zstd
else:
    from backports import zstd

PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "deflate": zlib.compress,
    "br": brotli.compress,
    "zstd": zstd.compress,
}
codings = st.sampled_from(sorted(PACKERS))


def undone(coding: str, pieces: list[bytes]) -> tuple[bytes, bool]:
    decoder = ContentDecoder(coding)
    out = [each for piece in pieces for each in decoder.feed(piece)]
    assert all(len(each) <= 2 * PIECE_BYTES for each in out)
    return b"".join(out), decoder.at_end


@given(codings, st.binary(max_size=2000), st.integers(1, 200), st.lists(st.integers(0, 3000), max_size=6))
def test_a_coding_is_decoded_however_it_is_split(coding: str, data: bytes, times: int, cuts: list[int]) -> None:
    packed = PACKERS[coding](data * times)
    edges = [0, *sorted(min(cut, len(packed)) for cut in cuts), len(packed)]
    assert undone(coding, [packed[a:b] for a, b in itertools.pairwise(edges)]) == (data * times, True)


@given(codings, st.binary(min_size=1, max_size=500), st.integers(1, 1 << 30))
def test_a_truncated_stream_is_incomplete(coding: str, data: bytes, cut: int) -> None:
    packed = PACKERS[coding](data)
    assert not undone(coding, [packed[: 1 + cut % (len(packed) - 1)]])[1]


@given(codings, st.binary(max_size=500))
def test_any_bytes_are_decoded_or_refused(coding: str, noise: bytes) -> None:
    try:
        undone(coding, [noise])
    except CodingError as error:
        assert coding in str(error)  # noqa: PT017 - either is well


@pytest.mark.parametrize("coding", sorted(PACKERS))
def test_a_decompression_bomb_is_decoded_in_bounded_chunks(coding: str) -> None:
    packed = PACKERS[coding](bytes(1 << 24))
    pieces = itertools.islice(ContentDecoder(coding).feed(packed), 3)
    assert sum(map(len, pieces)) <= 6 * PIECE_BYTES


def test_only_supported_codings_are_known() -> None:
    assert [is_known(word) for word in ("gzip", "compress", "", "zstd")] == [True, False, False, True]
