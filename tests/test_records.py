from typing import Annotated, Literal

import msgspec
import pytest

from builder.errors import ConfigError
from builder.records import Record, convert, encode


class Tool(Record):
    name: str
    weight: Annotated[float, msgspec.Meta(ge=0)] = 1.0

    def __post_init__(self):
        if self.name == "bomb":
            raise ValueError("a bomb is no tool")


class Drawer(Record):
    tools: tuple[Tool, ...]
    spare: Tool | None = None
    labels: dict[str, int] | None = None


class Shed(Record):
    drawers: dict[str, Drawer]
    door: Literal["open", "shut"] = "shut"
    size: tuple[int, int] | None = None


def shed(**drawer):
    return {"drawers": {"top": {"tools": [{"name": "saw"}, {"name": "file", "weight": 2}], **drawer}}}


def test_a_record_reads_back_as_it_was_written():
    record = convert(shed(spare={"name": "awl"}, labels={"a": 1}) | {"size": [1, 2]}, Shed, "shed.toml")
    assert record.drawers["top"].tools[1] == Tool(name="file", weight=2.0)
    assert msgspec.json.decode(encode(record), type=Shed) == record


def test_a_record_is_one_compact_line_with_its_fields_in_order():
    assert encode(Tool(name="saw\nblåde")) == '{"name":"saw\\nblåde","weight":1.0}'.encode()


def test_a_record_cannot_be_changed():
    with pytest.raises(AttributeError):
        Tool(name="saw").name = "axe"


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({**shed(), "dor": "open"}, "unknown key 'dor': did you mean 'door'?"),
        (shed(tool=[]), "unknown key 'drawers.top.tool': did you mean 'tools'?"),
        (
            shed(tools=[{"name": "saw"}, {"name": "axe", "wieght": 1}]),
            "unknown key 'drawers.top.tools[1].wieght': did you mean 'weight'?",
        ),
        (shed(spare={"nam": "axe"}), "unknown key 'drawers.top.spare.nam': did you mean 'name'?"),
        (shed(tools=[{"weight": 1}]), "missing key 'drawers.top.tools[0].name'"),
        ({}, "missing key 'drawers'"),
        ({**shed(), "door": "ajar"}, "key 'door' is 'ajar': one of 'open', 'shut' is needed"),
        ({**shed(), "size": [1, "2"]}, "key 'size[1]' is '2': a whole number is needed"),
        (shed(tools=[{"name": 5}]), "key 'drawers.top.tools[0].name' is 5: text is needed"),
        (
            shed(tools=[{"name": "saw", "weight": -1}]),
            "key 'drawers.top.tools[0].weight' is -1: a number of at least 0 is needed",
        ),
        (
            shed(tools={"name": "saw"}),
            "key 'drawers.top.tools' is {'name': 'saw'}: a list is needed",
        ),
        (shed(labels={"a": 1, "b": True}), "key 'drawers.top.labels.b' is True: a whole number is needed"),
        ({"drawers": {"top": 1}}, "key 'drawers.top' is 1: a table is needed"),
        (shed(tools=[{"name": "bomb"}]), "drawers.top.tools[0]: a bomb is no tool"),
        ([], "[]: a table is needed"),
    ],
)
def test_what_cannot_be_read_is_named_with_its_whole_key_and_the_repair(table, message):
    with pytest.raises(ConfigError) as refusal:
        convert(table, Shed, "shed.toml")
    assert str(refusal.value) == f"shed.toml: {message}"


def test_a_rule_broken_by_the_whole_record_is_said_as_it_is():
    with pytest.raises(ConfigError, match=r"^tool\.toml: a bomb is no tool$"):
        convert({"name": "bomb"}, Tool, "tool.toml")


def test_the_faulty_key_is_found_behind_a_valid_choice_of_records():
    """`one` holds the second of its two kinds, soundly; the fault is in `two`."""

    class Left(Record, tag="left"):
        a: int

    class Right(Record, tag="right"):
        b: int

    class Both(Record):
        one: Left | Right
        two: int

    with pytest.raises(ConfigError, match=r"^both\.toml: key 'two' is 'x': a whole number is needed$"):
        convert({"one": {"type": "right", "b": 1}, "two": "x"}, Both, "both.toml")
