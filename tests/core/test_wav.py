"""Whoever wrote a WAV file, all of its sound is found and nothing else; a file that was cut off says so."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.wav import is_wav, parse, rebuilt

FORM = struct.pack("<HHIIHH", 1, 1, 24000, 48000, 2, 16)
STREAM = [0, 0x7FFFF000, 0x7FFFF024, 0x80000000, 0xFFFFFFFF]
"""What Python's wave module and GStreamer, sox, espeak, arecord and ffmpeg write where they cannot go back."""
SOUND = bytes(range(1, 101))


def chunk(name, body, size=None, *, pad=True):
    filled = bytes(len(body) % 2) if pad else b""
    return name + struct.pack("<I", len(body) if size is None else size) + body + filled


def riff(*chunks, size=None, name=b"RIFF"):
    return chunk(name, b"WAVE" + b"".join(chunks), size)


def sound(data):
    found = parse(data)
    return data[found.begin : found.end]


FMT = chunk(b"fmt ", FORM)
TAGS = chunk(b"LIST", b"INFOISFT\x0e\0\0\0Lavf61.7.100\0\0")


@pytest.mark.parametrize("whole", [*STREAM, None])
@pytest.mark.parametrize("size", STREAM[1:])
@pytest.mark.parametrize(
    "before", [(), (TAGS,), (chunk(b"LIST", b"\xef\xbb\xbfodd"), chunk(b"fact", b"\0\0\0\0"))]
)
def test_what_was_written_to_a_pipe_is_read_to_its_end(whole, size, before):
    data = riff(*before, FMT, TAGS, chunk(b"data", SOUND, size), size=whole)
    assert sound(data) == SOUND
    assert parse(data).streamed


@pytest.mark.parametrize("whole", [0, 36, 0xFFFFFFFF])
def test_a_header_that_was_written_before_the_sound_and_never_again_hides_none(whole):
    data = riff(FMT, chunk(b"data", SOUND, 0), size=whole)
    assert sound(data) == SOUND


def test_sound_of_no_bytes_stays_empty_and_what_follows_it_is_no_sound():
    for data in (riff(FMT, chunk(b"data", b"")), riff(FMT, chunk(b"data", b""), TAGS)):
        assert sound(data) == b""
        assert not parse(data).streamed


@given(
    st.binary(max_size=99),
    st.lists(st.tuples(st.sampled_from([b"LIST", b"bext", b"x\0y\xff"]), st.binary(max_size=9)), max_size=3),
    st.binary(max_size=20),
)
def test_a_file_that_keeps_its_promises_gives_its_sound_whatever_stands_before_and_behind_it(
    body, before, junk
):
    chunks = [chunk(*one) for one in before]
    data = riff(*chunks, FMT, *chunks, chunk(b"data", body), TAGS) + junk
    found = parse(data)
    assert sound(data) == body
    assert (found.form, found.streamed) == (FORM, False)
    assert sound(rebuilt(data, found)) == body
    assert len(rebuilt(data, found)) == 44 + len(body) + len(body) % 2


def test_a_chunk_of_odd_length_that_is_not_filled_up_hides_nothing():
    data = riff(
        chunk(b"LIST", b"odd", pad=False), FMT, chunk(b"fact", b"12345", pad=False), chunk(b"data", SOUND)
    )
    assert sound(data) == SOUND


@pytest.mark.parametrize("name", [b"RF64", b"BW64"])
@pytest.mark.parametrize(
    ("whole", "size", "streamed"),
    [(80 + len(SOUND), len(SOUND), False), (0, 0, True), (2**64 - 1, 2**64 - 1, True)],
)
def test_sizes_of_64_bits_are_read_and_those_of_a_stream_known(name, whole, size, streamed):
    sizes = chunk(b"ds64", struct.pack("<QQQI", whole - 8 if 8 < whole < 2**60 else whole, size, 0, 0))
    data = riff(sizes, FMT, chunk(b"data", SOUND, 0xFFFFFFFF), size=0xFFFFFFFF, name=name)
    assert sound(data) == SOUND
    assert parse(data).streamed == streamed
    short = data[:-4]
    if streamed:
        assert sound(short) == SOUND[:-4]
    else:
        with pytest.raises(
            ValueError, match=f"cut off: its header promises {len(data)} bytes, it holds {len(short)}"
        ):
            parse(short)
    assert sound(data.replace(b"ds64\x1c", b"ds65\x1c")) == SOUND


@pytest.mark.parametrize("whole", [*STREAM, None])
def test_a_file_that_ends_before_its_sound_does_was_cut_off_whatever_the_whole_says(whole):
    data = riff(FMT, chunk(b"data", SOUND), size=whole)
    for kept in (46, len(data) - 1):
        with pytest.raises(
            ValueError, match=f"cut off: its header promises {len(data)} bytes, it holds {kept}"
        ):
            parse(data[:kept])


@pytest.mark.parametrize("kept", [13, 30, 90])
def test_a_file_that_ends_before_its_sound_begins_was_cut_off(kept):
    data = riff(chunk(b"LIST", bytes(80)), FMT, chunk(b"data", SOUND))
    with pytest.raises(ValueError, match=f"cut off: its header promises {len(data)} bytes, it holds {kept}"):
        parse(data[:kept])


def test_a_chunk_behind_the_sound_that_is_missing_was_cut_off_but_not_eight_bytes_counted_twice():
    data = riff(FMT, chunk(b"data", SOUND), TAGS)
    with pytest.raises(ValueError, match="cut off"):
        parse(data[: -len(TAGS)])
    plain = riff(FMT, chunk(b"data", SOUND))
    assert sound(plain[:4] + struct.pack("<I", len(plain)) + plain[8:]) == SOUND


@pytest.mark.parametrize("chunks", [(), (FMT,), (chunk(b"data", SOUND), FMT)])
def test_a_file_without_sound_says_so(chunks):
    with pytest.raises(ValueError, match="a WAV file without sound"):
        parse(riff(*chunks))


@pytest.mark.parametrize("data", [b"", b"RIFF", b"RIFX\0\0\0\0WAVE", b"RIFF\0\0\0\0AVI ", b"fLaC"])
def test_what_is_not_wav_says_so(data):
    assert not is_wav(data)
    with pytest.raises(ValueError, match="not a WAV file"):
        parse(data)
