import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.core.spoken import cardinal, ordinal, spoken, year
from tests.clock import cpu_s


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (0, "zero"),
        (13, "thirteen"),
        (40, "forty"),
        (99, "ninety-nine"),
        (101, "one hundred one"),
        (1000, "one thousand"),
        (75_000, "seventy-five thousand"),
        (1_000_001, "one million one"),
        (999_999_999_999_999, cardinal(999) + " trillion " + cardinal(999_999_999_999)),
    ],
)
def test_a_number_is_said_in_words(number, said):
    assert cardinal(number) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1, "first"),
        (12, "twelfth"),
        (20, "twentieth"),
        (21, "twenty-first"),
        (100, "one hundredth"),
        (103, "one hundred third"),
    ],
)
def test_an_ordinal_is_said_in_words(number, said):
    assert ordinal(number) == said


@pytest.mark.parametrize(
    ("number", "said"),
    [
        (1999, "nineteen ninety-nine"),
        (1905, "nineteen oh five"),
        (1900, "nineteen hundred"),
        (2000, "two thousand"),
        (2004, "two thousand four"),
        (2011, "twenty eleven"),
    ],
)
def test_a_year_is_said_in_two_parts(number, said):
    assert year(number) == said


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("I got $75,000 in 2025!", "I got seventy-five thousand dollars in twenty twenty-five!"),
        ("$1,249.99", "one thousand two hundred forty-nine dollars and ninety-nine cents"),
        ("$3.5 million", "three point five million dollars"),
        ("$1.5bn", "one point five billion dollars"),
        ("$1 or $0.50 or $0.00", "one dollar or fifty cents or zero dollars"),
        (
            "US$20 and 20€ and £5.01 and ¥500",
            "twenty US dollars and twenty euros and five pounds and one penny and five hundred yen",
        ),
        ("$5-$10", "five dollars to ten dollars"),
        ("$1.5", "one point five dollars"),
        ("$20/hr", "twenty dollars an hour".replace("an", "a")),
        ("in the 1990s, the '90s, my 20s", "in the nineteen nineties, the nineties, my twenties"),
        ("the 1900s", "the nineteen hundreds"),
        (
            "180 °C, -5°F, 90°",
            "one hundred eighty degrees Celsius, minus five degrees Fahrenheit, ninety degrees",
        ),
        (
            "250 g, 1 km, 5 ft, 60 mph, 20 m²",
            "two hundred fifty grams, one kilometer, five feet, sixty miles per hour, twenty square meters",
        ),
        (
            "7:30, 7:05 p.m., 7:00, 19:00, 7pm",
            "seven thirty, seven oh five P M, seven o'clock, nineteen hundred, seven P M",
        ),
        ("on May 17, 2024", "on May seventeenth, twenty twenty-four"),
        ("on 2024-05-17", "on May seventeenth, twenty twenty-four"),
        ("on 17/5/2024", "on May seventeenth, twenty twenty-four"),
        ("on 45/45/45", "on forty-five forty-five forty-five"),
        ("the 21st and the 1,000th", "the twenty-first and the one thousandth"),
        ("50%, 3.14, 007, 1,000,000", "fifty percent, three point one four, zero zero seven, one million"),
        ("version 3.11.2", "version three point eleven point two"),
        ("555-123-4567", "five five five one two three four five six seven"),
        ("5'11\"", "five foot eleven"),
        ("10/10, 9/11, 1/2, 2½", "ten out of ten, nine eleven, one half, two and a half"),
        ("2:1", "two to one"),
        ("pages 5–10", "pages five to ten"),
        ("10k followers, 5M views", "ten thousand followers, five million views"),
        ("5G, H2O, COVID-19", "five G, H two O, COVID-nineteen"),
        ("#1 and #blessed", "number one and hashtag blessed"),
        ("C# and F#, C++", "C sharp and F sharp, C plus plus"),
        (
            "2 ≤ 3, 10⁻⁹, x², 2^10",
            "two is less than or equal to three, ten to the minus nine, x squared, two to the ten",
        ),
        ("2 < 3, x = 5, 5 * 3", "two is less than three, x equals five, five times three"),
        ("I <3 R&B", "I heart R and B"),
        ("See https://a.b/5?x=1 or b5@x.com, 5 times", "See https://a.b/5?x=1 or b5@x.com, five times"),
        (
            "12345678901234567890",
            "one two three four five six seven eight nine zero one two three four five six seven eight nine zero",
        ),
        ("Meet me at 7 p.m. Bring it.", "Meet me at seven P M. Bring it."),
        ("Nothing to read - here.", "Nothing to read - here."),
        ("my_var2 = ok", "my_var2 equals ok"),
    ],
)
def test_what_is_written_is_read_as_it_is_said(text, said):
    assert spoken(text) == said


@given(st.text(alphabet="abc ABC.,!?'-\n"))
def test_a_text_without_numbers_and_signs_is_left_as_it_is(text):
    assert spoken(text) == text


@given(st.text(alphabet="0123456789.,:/-$€%°'’ ksth#⁻⁹½ap@"))
def test_no_digit_is_left_to_an_engine_unless_it_is_of_a_name(text):
    read = spoken(f"x {text} x")
    assert not any(
        character.isdecimal()
        for word in read.split()
        if word[0].isdecimal()
        for character in word
        if "@" not in word
    )


UNITS = [
    "1",
    "1,",
    "1.",
    "1,111",
    "1:",
    "1/",
    "1-",
    "1234-",
    "$",
    "$1",
    "1$",
    "1.1",
    "#",
    "°",
    "1°",
    "²",
    "½",
    "<3",
    "'1",
    "0s",
    "1 ",
    "www.",
]
UNITS += ["1st", "=", " = ", "^1", "a@", "May 1", "1–", "+1", "US$"]


@pytest.mark.parametrize("unit", UNITS)
def test_reading_takes_linear_time(unit):
    few, many = (min(cpu_s(spoken, unit, size) for _ in range(2)) for size in (2_000, 16_000))
    assert many < 24 * few + 0.05
