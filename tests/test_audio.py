"""Sound in bytes comes back bit for bit, or an error says why; and nothing half-written stays."""

import errno
import hashlib
import re
import struct
import subprocess
import sys
import threading
from pathlib import Path

import numpy as np
import pytest
import soundfile
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from builder.errors import RunError, SourceError
from builder.run.audio import AudioFiles, decode, encode, read_wav, sha256_of

SAMPLE = Path(__file__).parents[1] / ".." / "shared" / "published-sample"


def noise(count: int = 24000, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).normal(0, 3000, count).astype(np.int16)


def wav(path: Path, samples: np.ndarray, rate_hz: int = 24000, **kind) -> Path:
    soundfile.write(path, samples, rate_hz, format="WAV", **({"subtype": "PCM_16"} | kind))
    return path


@pytest.fixture
def folder(tmp_path) -> Path:
    return tmp_path / "audio"


# FLAC


@given(arrays(np.int16, st.integers(1, 9000)), st.sampled_from([16000, 22050, 24000, 48000]))
def test_flac_gives_every_sample_back(samples, rate_hz):
    flac = encode(samples, rate_hz)
    back, rate = decode(flac)
    assert rate == rate_hz
    assert back.dtype == np.int16
    assert np.array_equal(back, samples)
    assert encode(samples, rate_hz) == flac


def test_noisy_sound_takes_less_room_as_flac():
    samples = noise() // 16
    assert len(encode(samples, 24000)) < 0.8 * samples.nbytes


@pytest.mark.parametrize(
    "damage",
    [
        lambda flac: flac[:-1],
        lambda flac: flac[: len(flac) // 2],
        lambda flac: flac[:30],
        lambda flac: flac[:9000] + bytes([flac[9000] ^ 0xFF]) + flac[9001:],
        lambda _: b"",
        lambda flac: b"ID3" + flac[3:],
    ],
    ids=["a byte short", "half", "header only", "a flipped byte", "nothing", "another kind"],
)
def test_damaged_flac_is_refused_in_one_line(damage):
    with pytest.raises(SourceError, match="fetch or encode") as refusal:
        decode(damage(encode(noise(), 24000)))
    assert "\n" not in str(refusal.value)


@pytest.mark.parametrize("promised", [0, 24001, 2**36 - 1], ids=["unknown", "one more", "as many as can be"])
def test_flac_whose_header_promises_other_than_it_holds_is_refused(promised):
    whole = encode(noise(), 24000)
    field = int.from_bytes(whole[18:26]) >> 36 << 36 | promised
    with pytest.raises(SourceError, match="fetch or encode"):
        decode(whole[:18] + field.to_bytes(8) + whole[26:])


def test_sound_that_is_not_mono_flac_of_16_bits_is_refused_by_what_it_is(tmp_path):
    samples = noise()
    soundfile.write(tmp_path / "two.flac", np.stack([samples, samples], axis=1), 24000)
    soundfile.write(tmp_path / "deep.flac", samples, 24000, subtype="PCM_24")
    for file, kind in (("two.flac", "FLAC PCM_16 with 2 ch"), ("deep.flac", "FLAC PCM_24 with 1 ch")):
        with pytest.raises(SourceError, match=kind):
            decode((tmp_path / file).read_bytes())
    with pytest.raises(SourceError, match="WAV PCM_16"):
        decode(wav(tmp_path / "a.wav", samples).read_bytes())


def test_the_checksum_is_of_little_endian_pcm():
    assert sha256_of(np.array([1, -2, 256], np.int16)) == hashlib.sha256(b"\x01\0\xfe\xff\0\x01").hexdigest()
    samples = noise()
    assert sha256_of(samples) == sha256_of(samples.astype(">i2")) == sha256_of(np.repeat(samples, 2)[::2])


# Published recordings


def test_a_whole_wav_is_read_sample_by_sample(tmp_path):
    samples = noise()
    back, rate_hz = read_wav(wav(tmp_path / "a.wav", samples, 16000))
    assert rate_hz == 16000
    assert np.array_equal(back, samples)


@pytest.mark.skipif(not SAMPLE.exists(), reason="the published sample is not beside the checkout")
def test_every_published_recording_is_read_as_libsndfile_reads_it():
    paths = sorted(SAMPLE.rglob("*.wav"))
    assert len(paths) > 100
    for path in paths:
        samples, rate_hz = read_wav(path)
        assert rate_hz == 24000
        assert np.array_equal(samples, soundfile.read(path, dtype="int16")[0])


def chunk(name: bytes, body: bytes) -> bytes:
    return name + struct.pack("<I", len(body)) + body + bytes(len(body) % 2)


PLAIN = chunk(b"fmt ", struct.pack("<HHIIHH", 1, 1, 24000, 48000, 2, 16))


def riff(*chunks: bytes) -> bytes:
    return chunk(b"RIFF", b"WAVE" + b"".join(chunks))


def test_other_chunks_are_passed_over_wherever_they_stand(tmp_path):
    samples = noise(100)
    data = chunk(b"data", samples.tobytes())
    path = tmp_path / "a.wav"
    path.write_bytes(
        riff(chunk(b"LIST", b"odd"), PLAIN, chunk(b"junk", b"12345"), data, chunk(b"LIST", b"x"))
    )
    assert np.array_equal(read_wav(path)[0], samples)


def test_the_longer_header_of_plain_pcm_is_read_too(tmp_path):
    samples = noise(100)
    guid = b"\1\0\0\0\0\0\x10\0\x80\0\0\xaa\0\x38\x9b\x71"
    form = struct.pack("<HHIIHHHHI", 0xFFFE, 1, 24000, 48000, 2, 16, 22, 16, 4) + guid
    path = tmp_path / "a.wav"
    path.write_bytes(riff(chunk(b"fmt ", form), chunk(b"data", samples.tobytes())))
    assert np.array_equal(read_wav(path)[0], samples)


def refusal(path: Path) -> str:
    with pytest.raises(SourceError) as refused:
        read_wav(path)
    message = str(refused.value)
    assert message.startswith(f"{path}: ")
    assert "\n" not in message
    return message.removeprefix(f"{path}: ")


def test_a_missing_file_is_named(tmp_path):
    assert refusal(tmp_path / "gone.wav") == (
        "No such file or directory: fetch it again, or leave its dialogue out"
    )
    assert refusal(tmp_path).startswith("Is a directory")


@pytest.mark.parametrize("kept", [46, 1000, 47999])
def test_a_truncated_wav_is_named_with_what_its_header_promises(tmp_path, kept):
    path = wav(tmp_path / "a.wav", noise())
    path.write_bytes(path.read_bytes()[:kept])
    assert refusal(path) == f"cut off: its header promises 48044 bytes, it holds {kept}: fetch it again"


def test_a_truncation_that_only_the_data_chunk_knows_of_is_named_too(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(riff(PLAIN, b"data" + struct.pack("<I", 1000) + bytes(500)))
    assert refusal(path) == "cut off: its header promises 1044 bytes, it holds 544: fetch it again"


@pytest.mark.parametrize("content", [b"", b"RIFF", b"<html>404</html>", b"RIFX\0\0\0\0WAVE"])
def test_what_is_not_wav_is_named(tmp_path, content):
    path = tmp_path / "a.wav"
    path.write_bytes(content)
    assert refusal(path) == "not a WAV file: fetch it again, or convert it to WAV"


def test_flac_under_a_wav_name_is_not_wav(tmp_path):
    path = tmp_path / "a.wav"
    path.write_bytes(encode(noise(), 24000))
    assert refusal(path).startswith("not a WAV file")


@pytest.mark.parametrize(
    ("samples", "kind", "named"),
    [
        (np.stack([noise(), noise()], axis=1), {}, "format 1, 2 channels, 16 bits, 24000 Hz"),
        (noise(), {"subtype": "PCM_24"}, "format 1, 1 channels, 24 bits, 24000 Hz"),
        (noise(), {"subtype": "FLOAT"}, "format 3, 1 channels, 32 bits, 24000 Hz"),
        (noise(), {"subtype": "ULAW"}, "format 7, 1 channels, 8 bits, 24000 Hz"),
    ],
    ids=["stereo", "24 bits", "float", "mu-law"],
)
def test_another_format_is_named(tmp_path, samples, kind, named):
    message = refusal(wav(tmp_path / "a.wav", samples, **kind))
    assert message == f"{named} where PCM (format 1), 1 channel, 16 bits are needed: convert it"


def test_an_empty_recording_and_a_silent_one_are_named(tmp_path):
    repair = "record it again, or leave its dialogue out"
    assert refusal(wav(tmp_path / "a.wav", noise(0))) == f"empty: {repair}"
    assert refusal(wav(tmp_path / "b.wav", np.zeros(2400, np.int16))) == f"silent throughout: {repair}"


@pytest.mark.parametrize(
    ("chunks", "named"),
    [
        ([PLAIN], "a WAV file without sound: fetch it again"),
        ([chunk(b"data", b"ab"), PLAIN], "a WAV file without sound: fetch it again"),
        ([PLAIN, chunk(b"data", b"abc")], "its 3 bytes of sound end inside a sample: fetch it again"),
        ([chunk(b"fmt ", b"ab"), chunk(b"data", b"ab")], "its format takes 2 bytes of 16: fetch it again"),
    ],
    ids=["no data", "data before its format", "half a sample", "half a format"],
)
def test_a_wav_that_contradicts_itself_is_named(tmp_path, chunks, named):
    path = tmp_path / "a.wav"
    path.write_bytes(riff(*chunks))
    assert refusal(path) == named


# The large files of a run


def test_clips_lie_one_after_the_other_and_come_back(folder):
    clips = [bytes([number]) * (number + 1) for number in range(10)]
    with AudioFiles(folder) as files:
        places = [files.append(clip) for clip in clips]
        files.sync()
        assert [files.read(*place, len(clip)) for place, clip in zip(places, clips, strict=True)] == clips
    assert places == [("00000.flacs", sum(range(number + 1))) for number in range(10)]
    assert (folder / "00000.flacs").read_bytes() == b"".join(clips)


def test_a_later_run_writes_on_where_the_last_ended(folder):
    with AudioFiles(folder) as files:
        files.append(b"first")
    with AudioFiles(folder) as files:
        assert files.append(b"second") == ("00000.flacs", 5)
    assert (folder / "00000.flacs").read_bytes() == b"firstsecond"


def test_a_full_file_is_followed_by_a_new_one_and_no_clip_is_split(folder):
    with AudioFiles(folder, max_bytes=10) as files:
        places = [
            files.append(clip) for clip in (b"1234", b"567890", b"a", b"much longer than one file", b"b")
        ]
    assert places == [
        ("00000.flacs", 0),
        ("00000.flacs", 4),
        ("00001.flacs", 0),
        ("00002.flacs", 0),
        ("00003.flacs", 0),
    ]
    with AudioFiles(folder, max_bytes=10) as files:
        assert files.append(b"c") == ("00003.flacs", 1)


def test_nothing_is_made_until_the_first_clip(folder):
    with AudioFiles(folder) as files:
        files.sync()
        assert files.trim({}) == 0
    assert not folder.exists()


def test_orphan_bytes_are_cut_off_and_the_next_clip_takes_their_place(folder):
    with AudioFiles(folder, max_bytes=8) as files:
        for clip in (b"kept", b"lost", b"kept too", b"lost as well"):
            files.append(clip)
        assert files.trim({"00000.flacs": 4, "00001.flacs": 8}) == 4 + 12
        assert sorted(path.name for path in folder.iterdir()) == ["00000.flacs", "00001.flacs"]
        assert files.read("00000.flacs", 0, 4) == b"kept"
        assert files.append(b"next") == ("00002.flacs", 0)
        assert files.trim({"00000.flacs": 4, "00001.flacs": 8, "00002.flacs": 4}) == 0


def test_files_of_other_names_are_left_alone(folder):
    folder.mkdir()
    (folder / "notes.flacs").write_bytes(b"mine")
    with AudioFiles(folder) as files:
        assert files.append(b"clip") == ("00000.flacs", 0)
        files.trim({})
    assert [path.name for path in folder.iterdir()] == ["notes.flacs"]


def test_lost_bytes_are_an_error_and_then_nothing_is_cut(folder):
    with AudioFiles(folder, max_bytes=8) as files:
        files.append(b"kept and lost")
        files.append(b"short")
        with pytest.raises(RunError, match=r"00001\.flacs: ends at byte 5, a clip in it at byte 9"):
            files.trim({"00000.flacs": 4, "00001.flacs": 9})
        with pytest.raises(RunError, match=r"00002\.flacs: ends at byte 0, a clip in it at byte 1"):
            files.trim({"00000.flacs": 4, "00001.flacs": 5, "00002.flacs": 1})
    assert (folder / "00000.flacs").stat().st_size == 13


def test_reading_past_the_end_or_in_a_missing_file_is_an_error(folder):
    with AudioFiles(folder) as files:
        files.append(b"clip")
        with pytest.raises(RunError, match=r"00000\.flacs: ends at byte 4, a clip in it at byte 7"):
            files.read("00000.flacs", 2, 5)
        with pytest.raises(RunError, match=r"00007\.flacs: No such file"):
            files.read("00007.flacs", 0, 1)


@pytest.mark.parametrize(
    "name", ["../secret", "/etc/passwd", "..", "", "00000.flacs/../../secret", "0.flacs", "00000.flacs\n"]
)
def test_no_name_leads_out_of_the_folder(folder, name):
    (folder.parent / "secret").write_bytes(b"secret")
    with AudioFiles(folder) as files:
        files.append(b"clip")
        with pytest.raises(RunError, match=re.escape(f"{name!r} is not an audio file of a run")):
            files.read(name, 0, 1)
        with pytest.raises(RunError, match="is not an audio file of a run"):
            files.trim({name: 1})


def test_many_threads_read_and_write_at_once(folder):
    files = AudioFiles(folder, max_bytes=5000)
    wrong: list[bytes] = []

    def work(number: int) -> None:
        for turn in range(50):
            clip = bytes([number]) * (turn + 1)
            place = files.append(clip)
            back = files.read(*place, len(clip))
            if back != clip:
                wrong.append(back)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    files.close()
    assert not wrong
    assert sum(path.stat().st_size for path in folder.iterdir()) == 8 * sum(range(51))


def test_a_clip_that_does_not_fit_on_the_disk_leaves_no_trace(folder):
    """A limit on the size of files stands in for the full disk: the kernel writes a part and then refuses."""
    program = (
        "import resource, sys\n"
        "from pathlib import Path\n"
        "from builder.run.audio import AudioFiles\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "with AudioFiles(Path(sys.argv[1])) as files:\n"
        "    files.append(b'a' * 600)\n"
        "    try:\n"
        "        files.append(b'b' * 600)\n"
        "    except OSError as error:\n"
        "        print(error.errno, (Path(sys.argv[1]) / '00000.flacs').stat().st_size)\n"
        "    print(*files.append(b'c' * 400))\n"
    )
    ran = subprocess.run([sys.executable, "-c", program, folder], capture_output=True, check=True, text=True)
    assert ran.stdout.split() == [str(errno.EFBIG), "600", "00000.flacs", "600"]
    assert (folder / "00000.flacs").read_bytes() == b"a" * 600 + b"c" * 400
