"""Words of others in Markdown: a real reader of it sees these words and nothing else."""

import ast
import re

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from builder.core.markdown import Markdown, block, code, line, listed, markdown, python, settled

READERS = (MarkdownIt("commonmark"), MarkdownIt("commonmark").enable(["table", "strikethrough"]))
HOSTILE = (
    "<script>alert(1)</script>", "<!-- x", "a|b", r"a\|b", "a\\", "|---|", "`x`", "``", "`", "[x](javascript:alert(1))",
    "![](http://evil.example/x.png)", "[x]: http://evil.example", "&lt;&#60;&amp;", "R&D", "# x", "x #", "x\n# y", "---", "- - -",
    "===", "+ x", "1. x", "7)", "> x", "*x*", "**x**", "_x_", "__x__", "a_b_c", "(_x_)", "~~~", "~x~", "$x$", "http://evil.example",
    "https://localhost/x", "www.evil.example", "www.1x.example", "//localhost", "a@b.example", "<a@b.example>", "@lab", "#12",
    ":smile:", "{{ 7 * 7 }}{% raw %}", "\ttab", "    four", "a\u2028b", "a\x85# b", "\x1b[2J\x00", "\u202egnp.exe", "\ud800",
    "\ufdd0", "```\n# x\n```", "\n## Cite\n", "", " ", "*", "é_x_é", ">", "<", "\\", "-", "=", "</details><b>",
)  # fmt: skip


def words(tokens):
    """All that a reader is shown, and what shows it."""
    shown, kinds = "", set()
    for token in tokens:
        inner, own = words(token.children) if token.children else ("", set())
        shown += inner or (
            token.content if token.type in {"text", "code_inline", "fence", "html_inline"} else ""
        )
        kinds |= own or {token.type}
    return shown, kinds


def flat(text):
    """As `line` and `code` promise to keep it."""
    return re.sub(
        "[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ufdd0-\ufdef\ud800-\udfff]",
        "\ufffd",
        " ".join(text.split()),
    )


def hostile(test):
    for text in HOSTILE:
        test = example(text)(test)
    return given(st.text(st.sampled_from("ab1 \n\t\\`*_[]()<>|!#&;:@./-+=~$\"'é\u2028\x07")) | st.text())(
        test
    )


@hostile
def test_a_line_says_its_words_wherever_it_stands(text):
    for reader in READERS:
        for frame in ("{}", "# {}", "- {}", "> {}", "x {} y", "x\n{}"):
            shown, kinds = words(reader.parse(settled(frame.format(line(text)))))
            said = frame.lstrip("#->").format(flat(text))
            assert re.sub(r"\s", "", shown) == re.sub(r"\s", "", said)
            assert kinds <= {
                "text", "softbreak", "paragraph_open", "paragraph_close", "heading_open", "heading_close", "bullet_list_open",
                "bullet_list_close", "list_item_open", "list_item_close", "blockquote_open", "blockquote_close",
                "inline",
            }  # fmt: skip
            assert ("heading_open" in kinds) == frame.startswith("#")
            assert kinds.isdisjoint({"bullet_list_open"}) or frame.startswith("-")


@hostile
def test_code_says_its_words_and_is_code(text):
    for reader in READERS:
        (_, inline, _) = reader.parse(settled(f"x{code(text)}y"))
        if not flat(text):
            assert inline.content == "x–y"
            continue
        before, said, after = inline.children
        assert (before.content, said.type, said.content, after.content) == (
            "x",
            "code_inline",
            flat(text),
            "y",
        )


@hostile
def test_a_row_of_a_table_has_the_cells_it_is_meant_to_have(text):
    table = settled(f"| {line(text)} | {code(text)} |\n|---|---|\n| {line(text)} | {code(text)} |\n| 1 | 2 |")
    tokens = READERS[1].parse(table)
    cells = [
        token
        for token, after in zip(tokens[1:], tokens, strict=False)
        if after.type in {"th_open", "td_open"}
    ]
    assert [words([cell])[0] for cell in cells] == [flat(text), flat(text) or "–"] * 2 + ["1", "2"]


@hostile
def test_a_block_is_its_text_and_no_line_of_it_is_one_of_the_document(text):
    written = block(text)
    for reader in READERS:
        fence, rule, _, heading, _ = reader.parse(f"{written}\n\n---\n\nx\n")
        assert (fence.type, rule.type, heading.content) == ("fence", "hr", "x")
        assert re.sub(r"[\s\ufffd]", "", fence.content) == re.sub(r"[\s\ufffd]", "", flat(text))
    assert all(one.startswith(" ") for one in written.split("\n"))


@hostile
def test_a_string_of_python_is_itself_on_one_line(text):
    assert ast.literal_eval(python(text)) == text
    assert python(text).isprintable()


def test_what_is_plain_stays_as_it_is_written():
    for text in (
        "llama3-8B_cohere7B",
        "2.5 of 20 turns, 12.5 % [so",
        "-20 LUFS",
        "phi4-mini: no",
        "Why? (Because.)",
        "a & b",
    ):
        assert line(text).replace("\\[", "[") == text
    assert code("ORG/NAME@a1b2") == "`ORG/NAME@a1b2`"
    assert block("a\nb") == " ```text\n a\n b\n ```"
    assert python("travel") == '"travel"'


def test_what_is_markdown_already_is_not_escaped_again():
    assert markdown(Markdown("*x*")) == "*x*"
    assert markdown("*x*") == r"\*x\*"
    assert markdown(7) == "7"
    assert listed(["a", "*", code("b")]) == r"a, \*, `b`"
    assert listed("ab", " | ", code) == "`a` | `b`"
    assert not isinstance(Markdown("*x*") + "*", Markdown)


@pytest.mark.parametrize("between", ["x", "[", "<b>"])
def test_two_lines_side_by_side_make_nothing_together(between):
    shown, kinds = words(READERS[1].parse(f"{line('<b')}{line('>' + between)}{line('](x) `')}{line('`')}"))
    assert shown == f"<b>{between}](x) ``"
    assert kinds == {"text", "paragraph_open", "paragraph_close"}
