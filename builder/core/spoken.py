"""English as it is said: numbers, currencies, units, dates, times and symbols in words.

Engines each read "$3.5 million" or "the 1990s" in a way of their own, wrongly or with a symbol left out, and a text of digits
says nothing of how long it takes to say. So they are given words. The reading is our own: num2words 0.5 knows the words of a
number and not what a number is (a year, a price, a score), is under the LGPL and needs docopt, which is no longer kept.
Law of the file: nothing that is said is lost, a number is read once, and time is linear in the text.
"""

import re
from collections.abc import Callable

_ONES = [
    "zero",
    "one",
    "two",
    "three",
    "four",
    "five",
    "six",
    "seven",
    "eight",
    "nine",
    "ten",
    "eleven",
    "twelve",
    "thirteen",
    "fourteen",
    "fifteen",
    "sixteen",
    "seventeen",
    "eighteen",
    "nineteen",
]
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_POWERS = ("", "thousand", "million", "billion", "trillion")
_ORDINALS = {
    "one": "first",
    "two": "second",
    "three": "third",
    "five": "fifth",
    "eight": "eighth",
    "nine": "ninth",
} | {"twelve": "twelfth"}
_MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
_COINS = {
    "$": ("dollar", "cent"),
    "€": ("euro", "cent"),
    "£": ("pound", "penny"),
    "¥": ("yen", ""),
    "₹": ("rupee", "paisa"),
    "₩": ("won", ""),
    "₽": ("ruble", "kopeck"),
}
_PLURALS = {
    "yen": "yen",
    "won": "won",
    "penny": "pence",
    "paisa": "paise",
    "foot": "feet",
    "inch": "inches",
    "hertz": "hertz",
}
_UNITS = {
    "mg": "milligram",
    "g": "gram",
    "kg": "kilogram",
    "oz": "ounce",
    "lb": "pound",
    "lbs": "pound",
    "mm": "millimeter",
    "cm": "centimeter",
    "m": "meter",
    "km": "kilometer",
    "ft": "foot",
    "mi": "mile",
    "ml": "milliliter",
    "mL": "milliliter",
    "cl": "centiliter",
    "l": "liter",
    "L": "liter",
    "ms": "millisecond",
    "s": "second",
    "sec": "second",
    "secs": "second",
    "min": "minute",
    "mins": "minute",
    "h": "hour",
    "hr": "hour",
    "hrs": "hour",
    "yrs": "year",
    "kB": "kilobyte",
    "KB": "kilobyte",
    "MB": "megabyte",
    "GB": "gigabyte",
    "TB": "terabyte",
    "W": "watt",
    "kW": "kilowatt",
    "kWh": "kilowatt hour",
    "V": "volt",
    "Hz": "hertz",
    "kHz": "kilohertz",
    "MHz": "megahertz",
    "GHz": "gigahertz",
    "kcal": "kilocalorie",
    "mph": "mile per hour",
    "km/h": "kilometer per hour",
    "kph": "kilometer per hour",
    "px": "pixel",
    "m²": "square meter",
    "km²": "square kilometer",
    "m³": "cubic meter",
    "ft²": "square foot",
}
_SCALES = {
    "k": "thousand",
    "K": "thousand",
    "m": "million",
    "M": "million",
    "mn": "million",
    "B": "billion",
    "bn": "billion",
}
_SCALES |= {name: name for name in ("hundred", "thousand", "million", "billion", "trillion")}
_SIGNS = {
    "≤": "is less than or equal to",
    "≥": "is greater than or equal to",
    "≠": "is not equal to",
    "≈": "is about",
    "=": "equals",
    "<": "is less than",
    ">": "is greater than",
    "±": "plus or minus",
    "×": "times",
    "*": "times",
    "÷": "divided by",
    "+": "plus",
    "−": "minus",
    "√": "the square root of",
    "∞": "infinity",
    "→": "to",
    "∈": "in",
    "½": "one half",
    "¼": "one quarter",
    "¾": "three quarters",
    "⅓": "one third",
    "⅔": "two thirds",
    "‰": "per mille",
    "&": "and",
    "%": "percent",
    "©": "copyright",
    "§": "section",
    "¢": "cents",
}
_SHARES = {"1/2": "½", "1/4": "¼", "3/4": "¾", "1/3": "⅓", "2/3": "⅔"}
_RAISED = str.maketrans("⁰¹²³⁴⁵⁶⁷⁸⁹⁻⁺", "0123456789-+")

_PLAIN = r"(?:\d{1,3}(?:,\d{3}){1,6}(?!\d)|\d+)(?:\.\d+)?"
_NUMBER = rf"{_PLAIN}(?![\d]|[.,]\d)"
_FREE = r"(?<![\w.,])"
_COIN = "".join(_COINS)
_SCALE = "|".join(sorted(_SCALES, key=len, reverse=True))
_UNIT = "|".join(map(re.escape, sorted(_UNITS, key=len, reverse=True)))
_NAMED_MONTHS = "|".join(f"{month[:3]}(?:{month[3:]})?" if month != "May" else month for month in _MONTHS)


_ENDED = re.compile(r"[\"'”’)]*(?:\s+[^\Wa-z]|\s*\Z)")


def cardinal(number: int) -> str:
    """A number from 0 to 999,999,999,999,999 in words."""
    if number < 20:
        return _ONES[number]
    if number < 100:
        return _TENS[number // 10 - 2] + (f"-{_ONES[number % 10]}" if number % 10 else "")
    if number < 1000:
        return f"{_ONES[number // 100]} hundred" + (f" {cardinal(number % 100)}" if number % 100 else "")
    parts = [(number // 1000**power % 1000, name) for power, name in enumerate(_POWERS)]
    return " ".join(f"{cardinal(part)} {name}".strip() for part, name in reversed(parts) if part)


def ordinal(number: int) -> str:
    """Its ordinal: "twenty-first"."""
    head, dash, last = cardinal(number).rpartition("-" if number % 100 > 20 and number % 10 else " ")
    if last in _ORDINALS:
        return head + dash + _ORDINALS[last]
    return head + dash + (f"{last[:-1]}ieth" if last.endswith("y") else f"{last}th")


def year(number: int) -> str:
    """A year from 1000 to 2099: "nineteen oh five", "two thousand four", "twenty eleven"."""
    century, rest = divmod(number, 100)
    if number % 1000 < 10:
        return cardinal(number)
    if not rest:
        return f"{cardinal(century)} hundred"
    return f"{cardinal(century)} {cardinal(rest) if rest > 9 else f'oh {_ONES[rest]}'}"


def _digits(text: str) -> str:
    return " ".join(_ONES[int(digit)] for digit in text if digit.isdecimal())


def _number(text: str) -> str:
    """A number as it is written, with or without commas and a fraction."""
    whole, point, rest = text.replace(",", "").partition(".")
    said = _digits(whole) if len(whole) > 15 or (whole[0] == "0" and len(whole) > 1) else cardinal(int(whole))
    return f"{said} point {_digits(rest)}" if point else said


def _many(count: str, name: str) -> str:
    """So many of a unit: "one dollar", "two feet", "five miles per hour"."""
    first, space, rest = name.partition(" per ")
    plural = _PLURALS.get(first) or (f"{first[:-4]}feet" if first.endswith("foot") else f"{first}s")
    return f"{count} {first if count == 'one' or first.endswith('hertz') else plural}{space}{rest}"


def _price(found: re.Match[str]) -> str:
    sign = found["coin"] or found["after"]
    name, cent = _COINS[sign[-1]]
    coin = f"{sign[:-1]} {name}".lstrip()
    amount, scale = (found["amount"] or found["before"]).replace(",", ""), found["scale"]
    whole, point, rest = amount.partition(".")
    if scale:
        return _many(f"{_number(amount)} {_SCALES[scale]}", coin)
    if not cent or len(rest) != 2 or len(whole) > 15:
        return _many(_number(amount), coin) if not point or rest.strip("0") else _many(_number(whole), coin)
    said = [_many(_number(whole), coin)] if int(whole) else []
    said += [_many(cardinal(int(rest)), cent)] if int(rest) else []
    return " and ".join(said) or f"zero {coin}s"


def _time(found: re.Match[str]) -> str:
    hour, minute, half = int(found["hour"]), found["minute"], (found["half"] or "").replace(".", "").upper()
    said = cardinal(hour)
    if minute and int(minute):
        said += f" oh {_ONES[int(minute)]}" if int(minute) < 10 else f" {cardinal(int(minute))}"
    elif minute and not half:
        said += " o'clock" if 0 < hour < 13 else " hundred"
    ends = (found["half"] or "").endswith(".") and _ENDED.match(found.string, found.end())
    return f"{said} {' '.join(half)}".strip() + ("." if ends else "")


def _date(found: re.Match[str]) -> str:
    one, other, last = int(found[1]), int(found[2]), int(found[3])
    if found[1][2:]:  # the year comes first
        month, day, named = other, last, one
    else:
        month, day, named = (other, one, last) if one > 12 else (one, other, last)
    if not (0 < month < 13 and 0 < day < 32):
        return f"{cardinal(one)} {cardinal(other)} {cardinal(last)}"
    return f"{_MONTHS[month - 1]} {ordinal(day)}, {_year_or_number(str(named))}"


def _decade(found: re.Match[str]) -> str:
    said = _year_or_number(found[1])
    return f"{said[:-1]}ies" if said.endswith("y") else f"{said}s"


def _year_or_number(text: str) -> str:
    return year(int(text)) if len(text) == 4 and "1000" < text < "2100" else _number(text)


def _raised(found: re.Match[str]) -> str:
    power = found[1].translate(_RAISED)
    named = {"2": " squared", "3": " cubed"}.get(power)
    sign = "minus " if power[0] == "-" else ""
    digits = power.lstrip("+-")
    return named or (f" to the {sign}{_number(digits)}" if digits else "")


def _plain(found: re.Match[str]) -> str:
    """A number with no reading of its own; letters that touch it are kept apart."""
    before, after = (
        found.string[found.start() - 1 : found.start()],
        found.string[found.end() : found.end() + 1],
    )
    return (" " if before.isalpha() else "") + _number(found[0]) + (" " if after.isalpha() else "")


_PRICED = (
    rf"{_FREE}(?:(?P<coin>(?:US|AU|CA|NZ|HK|[AC])?\$|[{_COIN}]) ?(?P<amount>{_NUMBER})(?: ?(?P<scale>{_SCALE})\b)?"
    rf"|(?P<before>{_NUMBER}) ?(?P<after>[{_COIN}]))"
)
_READINGS: tuple[tuple[str, Callable[[re.Match[str]], str]], ...] = (
    (r"(?<![\w<])<3+(?!\d)", lambda _: "heart"),
    (r"(?<![^\W_])([A-Ga-g])[#♯](?!\w)", lambda found: f"{found[1]} sharp"),
    (r"(?<!\w)([A-Z])\+\+", lambda found: f"{found[1]} plus plus"),
    (r"(?<!\w)#(?=\d)", lambda _: "number "),
    (r"(?<!\w)#(?=[^\W\d_])", lambda _: "hashtag "),
    (rf"{_FREE}(\d{{4}})-(\d{{1,2}})-(\d{{1,2}})(?!\w)", _date),
    (
        rf"{_FREE}(\d{{1,2}})(?:/(?=\d+/)|\.(?=\d+\.))(\d{{1,2}})(?:/(?=\d)|\.(?=\d{{4}}))(\d{{4}}|\d\d)(?![\w/])",
        _date,
    ),
    (
        rf"\b({_NAMED_MONTHS})\.? (\d{{1,2}})(?:st|nd|rd|th)?(?![\w:%]|[.,]\d)",
        lambda found: (
            f"{next(month for month in _MONTHS if month.startswith(found[1][:3]))} {ordinal(int(found[2]))}"
        ),
    ),
    (rf"{_FREE}\d+(?:\.\d+){{2,}}(?![\d.])", lambda found: " point ".join(map(_number, found[0].split(".")))),
    (rf"{_FREE}\+?\d{{1,4}}(?:[- ]\d{{3,4}}){{2,4}}(?![\w-])", lambda found: _digits(found[0])),
    (rf"(?<=\d)(?: ?– ?|-)(?=[{_COIN}]?\d)", lambda _: " to "),
    (
        _PRICED,
        _price,
    ),
    (
        rf"{_FREE}(?P<hour>[01]?\d|2[0-4]):(?P<minute>[0-5]\d)(?::\d\d)?(?: ?(?P<half>[AaPp]\.?[Mm]\b\.?))?(?![\w:])",
        _time,
    ),
    (rf"{_FREE}(?P<hour>1?\d)(?P<minute>) ?(?P<half>[ap]\.?m\b\.?|[AP]M\b)", _time),
    (rf"{_FREE}(\d+):(\d+)(?![\w:])", lambda found: f"{_number(found[1])} to {_number(found[2])}"),
    (
        rf"{_FREE}(\d+)['′](\d{{1,2}})(?:[\"″]|'')?(?!\w)",
        lambda found: f"{_number(found[1])} foot {_number(found[2])}",
    ),
    (r"(?<![\w.,])['’]?([1-9]0|1\d\d0|20\d0)s(?!\w)", _decade),
    (
        rf"{_FREE}(\d{{1,3}}(?:,\d{{3}}){{1,3}}|\d{{1,12}})(?:st|nd|rd|th)(?!\w)",
        lambda found: ordinal(int(found[1].replace(",", ""))),
    ),
    (rf"{_FREE}(?:1/2|1/4|3/4|1/3|2/3)(?![\w/])", lambda found: _SIGNS[_SHARES[found[0]]]),
    (r"(?<=\d) ?([½¼¾⅓⅔])", lambda found: f" and {_SIGNS[found[1]].replace('one half', 'a half')}"),
    (rf"{_FREE}(\d+)/(10|100)(?![\w/.])", lambda found: f"{_number(found[1])} out of {_number(found[2])}"),
    (rf"{_FREE}(\d+)/(\d+)(?![\w/])", lambda found: f"{_number(found[1])} {_number(found[2])}"),
    (
        rf"(?<![\w.,])(?P<less>[-−])?(?P<count>{_NUMBER}) ?°(?: ?(?P<of>[CF])\b)?",
        lambda found: (
            ("minus " if found["less"] else "")
            + _many(_number(found["count"]), "degree")
            + {"C": " Celsius", "F": " Fahrenheit"}.get(found["of"] or "", "")
        ),
    ),
    (
        rf"{_FREE}({_NUMBER}) ?({_UNIT})(?![\w/²³])",
        lambda found: _many(_number(found[1]), _UNITS[found[2]]),
    ),
    (rf"{_FREE}({_NUMBER})(k|M|bn)(?!\w)", lambda found: f"{_number(found[1])} {_SCALES[found[2]]}"),
    (r"([⁻⁺]?[⁰¹²³⁴⁵⁶⁷⁸⁹]+)", _raised),
    (
        r"(?<=\d)\^(-?\d+)",
        lambda found: f" to the {'minus ' if found[1][0] == '-' else ''}{found[1].lstrip('-')}",
    ),
    (r"(?<![\w)])[-−](?=\d)", lambda _: "minus "),
    (rf"{_FREE}(?:1[1-9]\d\d|20\d\d)(?![\d%]|[.,]\d)", lambda found: year(int(found[0]))),
    (rf"(?<![a-z_]){_PLAIN}", _plain),
    (
        r"/(month|year|hour|hr|day|week|night|person|piece)\b",
        lambda found: f" a {found[1].replace('hr', 'hour')}",
    ),
    (r"(?<=[\w)] )[<>*−+=](?= [\w(])|(?<=\w)[=+×÷±](?=\w)", lambda found: f" {_SIGNS[found[0]]} "),
    ("[≤≥≠≈±×÷√∞→∈½¼¾⅓⅔‰&%©§¢]|=(?= )|−(?= )", lambda found: f" {_SIGNS[found[0]]} "),
)
_COMPILED = tuple((re.compile(pattern), reading) for pattern, reading in _READINGS)
_NEEDED = re.compile(r"[\d#♯&%@<>=+^°±×÷≤≥≠≈√∞→∈½¼¾⅓⅔⁰¹²³⁴⁵⁶⁷⁸⁹©§¢−]|" + f"[{_COIN}]")
_SPACES, _LOOSE = re.compile(r" {2,}"), re.compile(r" (?=[,.;:?!])")
_ADDRESS = re.compile(r"\b(?:https?://|www\.)\S+|[\w.+-]{1,64}@[\w.-]{1,255}")


def spoken(text: str) -> str:
    """A text of English in the words that are said; what it does not know is left as it is."""
    if not _NEEDED.search(text):
        return text
    at, parts = 0, []
    for address in _ADDRESS.finditer(text):
        parts += [_read(text[at : address.start()]), address[0]]
        at = address.end()
    return "".join([*parts, _read(text[at:])])


def _read(text: str) -> str:
    read = text
    for pattern, reading in _COMPILED:
        read = pattern.sub(reading, read)
    if read == text:
        return text
    single = _SPACES.sub(" ", read).strip(" ")
    begin, end = len(text) - len(text.lstrip(" ")), len(text.rstrip(" "))
    return text[:begin] + _LOOSE.sub("", single) + text[end:]
