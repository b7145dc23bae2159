"""A voice is heard in the class it is asked for, in clips of one level and no more silence than between words."""

import itertools
import shutil

import numpy as np
import pytest
import soundfile

from builder.core.emotion import RAVDESS, Emotion
from builder.core.speech import Voice
from builder.errors import ConfigError, SynthesisError
from builder.plugins.tts._references import SAMPLING_RATE_HZ, References
from tests.ravdess import RATE_HZ, hum, make_ravdess, name_of, pitch_hz

MAN, WOMAN = Voice(name="actor-01", sex="male"), Voice(name="actor-02", sex="female")
ANNA = Voice(name="anna", sex="female")


def emotion(ravdess="happy", intensity="normal") -> Emotion:
    return Emotion(ravdess=ravdess, valence=0, arousal=0, successors=("other",), intensity=intensity)


@pytest.fixture(scope="module")
def archive(tmp_path_factory):
    return make_ravdess(tmp_path_factory.mktemp("archive"), classes=("neutral", "happy", "sad"))


@pytest.fixture
def folder(tmp_path):
    """An empty one, which `listed` fills with clips of a second and their manifest."""

    def listed(normal=(), strong=(), *, voice="anna", ravdess="happy"):
        lists = (
            f"{intensity} = {list(files)}"
            for intensity, files in (("normal", normal), ("strong", strong))
            if files
        )
        with (tmp_path / "references.toml").open("a") as manifest:
            manifest.write("\n".join([f"[{voice}.{ravdess}]", *lists, ""]))
        for place, file in enumerate((*normal, *strong)):
            if not (tmp_path / file).exists():
                write(tmp_path / file, spoken(place))
        return References(tmp_path)

    return listed


def spoken(take: int, speech_s=1.0, **settings) -> np.ndarray:
    return hum(name_of(2, RAVDESS[take // 4], 1 + take // 2 % 2, 1 + take % 2), speech_s, **settings)


def write(path, sound, rate_hz=RATE_HZ, **settings):
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, sound, rate_hz, **settings)


def parts(reference) -> list[np.ndarray]:
    """The clips in a reference, between its digital silences."""
    samples = reference.waveform.samples
    sounding = np.convolve(samples != 0, np.ones(100), "same") > 0
    edges = np.flatnonzero(np.diff(np.concatenate([[False], sounding, [False]])))
    return [samples[start:stop] for start, stop in zip(edges[::2], edges[1::2], strict=True)]


def heard_hz(sound, rate_hz=SAMPLING_RATE_HZ) -> float:
    """The strongest tone, to a tenth of a hertz."""
    spectrum = np.abs(np.fft.rfft(sound * np.hanning(len(sound)), 10 * rate_hz))
    return int(spectrum.argmax()) / 10


def level_db(sound) -> float:
    return 10 * np.log10(np.mean(np.square(sound, dtype=np.float64)))


def seconds(sound) -> float:
    return len(sound) / SAMPLING_RATE_HZ


@pytest.mark.parametrize(
    ("voice", "ravdess", "intensity", "code"),
    [
        (MAN, "happy", "normal", 1),
        (MAN, "happy", "strong", 2),
        (WOMAN, "sad", "strong", 2),
        (WOMAN, "neutral", "normal", 1),
        (WOMAN, "neutral", "strong", 1),  # neutral is acted normally only
    ],
)
def test_a_reference_is_the_four_takes_of_a_voice_in_one_class_and_intensity(
    archive, voice, ravdess, intensity, code
):
    reference = References(archive).reference(voice, emotion(ravdess, intensity))
    actor = int(voice.name[-2:])
    takes = [
        name_of(actor, ravdess, code, statement, repetition)
        for repetition, statement in itertools.product((1, 2), (1, 2))
    ]
    assert reference.files == tuple(f"Actor_{actor:02}/{take}" for take in takes)
    assert [heard_hz(part) for part in parts(reference)] == pytest.approx(
        list(map(pitch_hz, takes)), rel=0.001
    )


def test_a_reference_is_mono_float32_at_22050_hz_of_six_to_ten_seconds(archive):
    waveform = References(archive).reference(MAN, emotion()).waveform
    assert waveform.sampling_rate_hz == SAMPLING_RATE_HZ == 22050
    assert waveform.samples.dtype == np.float32
    assert waveform.samples.ndim == 1
    assert 6 <= seconds(waveform.samples) <= 10


def test_a_second_of_silence_on_either_side_is_left_out_and_a_short_pause_put_between(archive):
    reference = References(archive).reference(MAN, emotion())
    clips = parts(reference)
    assert [seconds(clip) for clip in clips] == pytest.approx([1.7 + 2 * 0.05] * 4, abs=0.02)
    assert seconds(reference.waveform.samples) == pytest.approx(4 * 1.8 + 3 * 0.2, abs=0.02)


def test_every_clip_is_as_loud_as_the_next_whoever_spoke_it_and_however_strongly(archive):
    references = References(archive)
    loud = [
        level_db(part)
        for voice, intensity in itertools.product((MAN, WOMAN), ("normal", "strong"))
        for part in parts(references.reference(voice, emotion(intensity=intensity)))
    ]
    assert loud == pytest.approx([-20] * 16, abs=0.3)


def test_a_clip_with_a_high_peak_stays_below_full_scale(folder, tmp_path):
    click = spoken(0, level=0.01)
    click[RATE_HZ * 3 // 2 : RATE_HZ * 3 // 2 + 40] = 0.9
    write(tmp_path / "a.wav", click)
    samples = folder(["a.wav"]).reference(ANNA, emotion()).waveform.samples
    assert 0.8 < np.abs(samples).max() < 1
    assert level_db(samples) < -20


def test_the_same_files_give_the_same_reference_and_other_files_another(archive, tmp_path):
    copy = shutil.copytree(archive, tmp_path / "copy")
    first, again = (References(folder).reference(MAN, emotion()) for folder in (archive, copy))
    assert first.sha256 == again.sha256
    assert np.array_equal(first.waveform.samples, again.waveform.samples)
    others = [(WOMAN, "happy", "normal"), (MAN, "sad", "normal"), (MAN, "happy", "strong")]
    keys = {References(archive).reference(voice, emotion(*acted)).sha256 for voice, *acted in others}
    assert len(keys | {first.sha256}) == 4
    write(copy / first.files[0], spoken(5))
    assert References(copy).reference(MAN, emotion()).sha256 != first.sha256


def test_emotions_of_one_class_and_intensity_share_a_reference(archive):
    glad = Emotion(ravdess="happy", valence=0.5, arousal=0.1, successors=("other",))
    references = References(archive)
    assert references.reference(MAN, glad).sha256 == references.reference(MAN, emotion()).sha256


def test_songs_films_and_other_files_are_passed_over_and_folders_of_actors_are_not_needed(tmp_path):
    flat = make_ravdess(tmp_path, actors=[1], classes=["happy"], subfolders=False)
    for name in (
        "03-02-03-01-01-01-01.wav",  # a song
        "02-01-03-01-01-01-01.mp4",  # a film
        "03-01-03-01-01-01-99.wav",  # no such actor
        "._03-01-03-01-01-01-01.wav",
        "README.txt",
    ):
        (flat / name).write_bytes(b"no sound")
    reference = References(flat).reference(MAN, emotion())
    assert reference.files[0] == "03-01-03-01-01-01-01.wav"
    assert len(reference.files) == 4


def test_the_sound_of_a_film_stands_in_for_a_take_that_is_not_there_by_itself(tmp_path):
    flat = make_ravdess(tmp_path, actors=[1], classes=["happy"], subfolders=False)
    alone = [name_of(1, "happy", 1, 1, 1), name_of(1, "happy", 1, 2, 1)]
    films = [name_of(1, "happy", 1, statement, 1, modality=1) for statement in (1, 2)]
    shutil.copy(flat / alone[0], flat / films[0])
    (flat / alone[1]).rename(flat / films[1])
    assert References(flat).reference(MAN, emotion()).files[:2] == (alone[0], films[1])


def test_any_folder_will_do_with_a_manifest(folder, tmp_path):
    references = folder(["anna/one.wav", "anna/two.flac", "anna/one.wav", "three.ogg"], ["loud.wav"])
    reference = references.reference(ANNA, emotion())
    assert reference.files == ("anna/one.wav", "anna/two.flac", "three.ogg")
    assert len(parts(reference)) == 3
    references.check([ANNA], [emotion(), emotion(intensity="strong")])


def test_a_manifest_holds_where_ravdess_is_too(archive, tmp_path):
    copy = shutil.copytree(archive, tmp_path / "copy")
    manifest = copy / "references.toml"
    manifest.write_text(f'[anna.sad]\nstrong = ["Actor_02/{name_of(2, "happy", 2)}"]\n')
    references = References(copy)
    assert references.reference(ANNA, emotion("sad")).files == (f"Actor_02/{name_of(2, 'happy', 2)}",)
    with pytest.raises(ConfigError, match="no clips of voice 'actor-01'"):
        references.reference(MAN, emotion())


@pytest.mark.parametrize("rate_hz", [16000, 22050, 44100])
@pytest.mark.parametrize("channels", [1, 2])
def test_a_clip_lasts_as_long_and_sounds_as_high_at_any_rate_in_mono_and_stereo(
    folder, tmp_path, rate_hz, channels
):
    tone = np.sin(2 * np.pi * 440 * np.arange(rate_hz) / rate_hz) / 4
    write(tmp_path / "a.wav", np.stack([tone] * channels, axis=1), rate_hz)
    samples = folder(["a.wav"]).reference(ANNA, emotion()).waveform.samples
    assert seconds(samples) == pytest.approx(1, abs=0.001)
    assert heard_hz(samples) == pytest.approx(440, abs=0.2)


def test_both_channels_are_heard(folder, tmp_path):
    time = np.arange(RATE_HZ) / RATE_HZ
    write(
        tmp_path / "a.wav", np.stack([np.sin(2 * np.pi * hertz * time) / 4 for hertz in (440, 880)], axis=1)
    )
    samples = folder(["a.wav"]).reference(ANNA, emotion()).waveform.samples
    low, high = (
        abs(np.vdot(samples, np.exp(2j * np.pi * hertz * np.arange(len(samples)) / SAMPLING_RATE_HZ)))
        for hertz in (440, 880)
    )
    assert low == pytest.approx(high, rel=0.01)


def test_resampling_lets_nothing_through_that_would_fold_back(folder, tmp_path):
    time = np.arange(RATE_HZ) / RATE_HZ
    write(tmp_path / "a.wav", (np.sin(2 * np.pi * 440 * time) + np.sin(2 * np.pi * 15000 * time)) / 4)
    samples = folder(["a.wav"]).reference(ANNA, emotion()).waveform.samples[2000:-2000]
    spectrum = np.abs(np.fft.rfft(samples * np.blackman(len(samples))))
    hertz = np.fft.rfftfreq(len(samples), 1 / SAMPLING_RATE_HZ)
    assert spectrum[np.abs(hertz - 440) > 20].max() < 1e-4 * spectrum.max()


def test_an_offset_hides_no_silence(folder, tmp_path):
    write(tmp_path / "a.wav", spoken(0) + 0.2)
    assert seconds(folder(["a.wav"]).reference(ANNA, emotion()).waveform.samples) == pytest.approx(
        1.1, abs=0.02
    )


def test_only_whole_clips_are_taken_and_ten_seconds_are_the_most(folder, tmp_path):
    for name, length in {"a": 4, "b": 4, "c": 4, "d": 1}.items():
        write(tmp_path / f"{name}.wav", spoken(0, length))
    reference = folder([f"{name}.wav" for name in "abcd"]).reference(ANNA, emotion())
    assert reference.files == ("a.wav", "b.wav", "d.wav")
    assert seconds(reference.waveform.samples) == pytest.approx(4.1 + 4.1 + 1.1 + 2 * 0.2, abs=0.03)


def test_the_pauses_count_among_the_ten_seconds(folder, tmp_path):
    for name in "abcde":
        write(tmp_path / f"{name}.wav", spoken(0, 1.85))  # 9.75 s without pauses, 10.55 s with them
    assert len(folder([f"{name}.wav" for name in "abcde"]).reference(ANNA, emotion()).files) == 4


def test_of_a_clip_longer_than_ten_seconds_the_first_ten_are_taken(folder, tmp_path):
    write(tmp_path / "a.wav", spoken(0, 12))
    assert len(folder(["a.wav"]).reference(ANNA, emotion()).waveform.samples) == 10 * SAMPLING_RATE_HZ


@pytest.mark.parametrize(
    ("takes", "chosen"),
    [
        (["a.wav"], ("a.wav", "c.wav", "d.wav")),
        (["a.wav", "b.wav"], ("a.wav", "b.wav", "c.wav", "d.wav")),
        (["a.wav", "b.wav", "b2.wav"], ("a.wav", "b.wav", "b2.wav")),  # 3.3 s are enough
        ([], ("c.wav", "d.wav")),
    ],
)
@pytest.mark.parametrize("intensity", ["normal", "strong"])
def test_below_three_seconds_the_other_intensity_helps_out(folder, takes, chosen, intensity):
    other = ["c.wav", "d.wav"]
    references = folder(takes, other) if intensity == "normal" else folder(other, takes)
    assert references.reference(ANNA, emotion(intensity=intensity)).files == chosen


def test_no_class_stands_in_for_another(folder):
    folder(["a.wav"], ravdess="calm")
    references = folder(["b.wav"], ravdess="neutral")
    with pytest.raises(
        ConfigError, match=r"'anna' as 'happy': name some under \[anna\.happy\] in references"
    ):
        references.reference(ANNA, emotion())


def test_a_third_of_a_second_is_the_least(folder, tmp_path):
    write(tmp_path / "a.wav", spoken(0, 0.25))
    assert seconds(folder(["a.wav"]).reference(ANNA, emotion()).waveform.samples) < 0.4
    write(tmp_path / "a.wav", spoken(0, 0.05))
    write(tmp_path / "b.wav", spoken(1, 0.05))
    with pytest.raises(SynthesisError) as refusal:
        folder(["b.wav"], ["a.wav"], ravdess="sad").reference(ANNA, emotion("sad"))
    assert "'anna' as 'sad' has 0.30 s of sound in b.wav, a.wav: 0.33 s are needed" in str(refusal.value)


def test_what_a_study_needs_and_a_folder_lacks_is_listed_before_any_work(archive):
    references = References(archive)
    references.check([MAN, WOMAN], [emotion("sad", "strong"), emotion("happy"), emotion("neutral", "strong")])
    third = Voice(name="actor-03", sex="male")
    with pytest.raises(ConfigError) as refusal:
        references.check(
            [third, WOMAN], [emotion("disgust"), emotion("angry"), emotion("sad"), emotion("angry")]
        )
    assert "no clips of 'actor-03' (any class), 'actor-02' (angry, disgust): bring them" in str(refusal.value)
    assert str(archive) in str(refusal.value)


def test_a_voice_or_a_class_that_is_missing_is_named_with_what_was_looked_for(archive):
    references = References(archive)
    with pytest.raises(ConfigError, match=r"no clips of voice 'actor-3': did you mean 'actor-0[12]'\?"):
        references.reference(Voice(name="actor-3", sex="male"), emotion())
    with pytest.raises(ConfigError, match=r"'actor-01' as 'angry': bring 03-01-05-\*-01\.wav of RAVDESS"):
        references.reference(MAN, emotion("angry"))


@pytest.mark.parametrize("content", [{}, {"a.wav": b""}, {"03-02-03-01-01-01-01.wav": b""}])
def test_a_folder_that_is_neither_ravdess_nor_listed_is_refused(tmp_path, content):
    for name, data in content.items():
        (tmp_path / name).write_bytes(data)
    with pytest.raises(ConfigError, match=r"neither RAVDESS speech .* nor a references\.toml"):
        References(tmp_path)
    with pytest.raises(ConfigError, match=r"gone: neither RAVDESS"):
        References(tmp_path / "gone")


@pytest.mark.parametrize(
    ("manifest", "said"),
    [
        (
            "[anna.happy]\nnormal = ['gone.wav']",
            r"\[anna.happy\] names the file 'gone.wav', which is not there",
        ),
        ("[anna.happy]", r"\[anna.happy\] names no file"),
        ("[anna.joy]\nnormal = ['a.wav']", "has the name 'joy': one of "),
        ("[anna.happy]\nnromal = ['a.wav']", "unknown key 'anna.happy.nromal': did you mean 'normal'"),
        ("[anna.happy]\nnormal = 'a.wav'", "key 'anna.happy.normal' is 'a.wav'"),
        ("[anna.happy", "cannot be read as TOML"),
        ("\xff", "cannot be read as TOML"),
    ],
)
def test_a_manifest_that_cannot_be_used_is_named_with_its_entry(tmp_path, manifest, said):
    write(tmp_path / "a.wav", spoken(0))
    (tmp_path / "references.toml").write_bytes(manifest.encode("latin-1"))
    with pytest.raises(ConfigError, match=said) as refusal:
        References(tmp_path)
    assert "references.toml" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def damaged(how: str, path):
    """Writes a clip with one thing wrong."""
    sound = spoken(0)
    if how == "silent":
        write(path, 5e-4 * sound)
    elif how == "constant":
        write(path, np.full(RATE_HZ, 0.5))
    elif how == "without samples":
        write(path, np.zeros(0))
    elif how == "not a number":
        sound[5000:5003] = np.nan, np.inf, -np.inf
        write(path, sound, subtype="FLOAT")
    elif how == "no audio":
        path.write_text("The file you asked for is not here.")
    elif how == "empty":
        path.touch()
    else:
        write(path, sound, format=how.removesuffix(" cut off") if " cut off" in how else "WAV")
        whole = path.read_bytes()
        path.write_bytes(whole[: 30 if how == "only a header" else len(whole) * 2 // 3])


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("silent", "silent throughout: fetch it again"),
        ("constant", "silent throughout: fetch it again"),
        ("without samples", "silent throughout: fetch it again"),
        ("not a number", "3 samples are not finite"),
        ("no audio", "no sound that can be read"),
        ("empty", "no sound that can be read"),
        ("only a header", "cut off: its header promises 288044 bytes, it holds 30"),
        ("cut off", "cut off: its header promises 288044 bytes, it holds 192029"),
        ("FLAC cut off", "no sound that can be read"),
        ("MP3 cut off", r"cut off: \d+ samples of 144000 are there"),
    ],
)
def test_a_damaged_clip_is_named_with_its_repair_and_never_left_out(folder, tmp_path, how, said):
    damaged(how, tmp_path / "bad.wav")
    with pytest.raises(SynthesisError, match=said) as refusal:
        folder(["good.wav", "bad.wav"]).reference(ANNA, emotion())
    assert str(tmp_path / "bad.wav") in str(refusal.value)
    assert "again" in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_a_clip_that_went_away_is_named(folder, tmp_path):
    references = folder(["a.wav"])
    (tmp_path / "a.wav").unlink()
    with pytest.raises(SynthesisError, match=r"a\.wav: No such file or directory: bring it back"):
        references.reference(ANNA, emotion())
