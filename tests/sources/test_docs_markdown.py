"""Markdown read line by line, against a parser that builds the tree; extensions and bad input."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from samloop.sources.documents import Block
from samloop.sources.inline import clean, heading_text
from samloop.sources.markdown import parse


def blocks(text: str, *, mdx: bool = False) -> list[tuple[str, str]]:
    return [(b.kind, b.text) for s in parse(text, mdx=mdx).sections for b in s.blocks if b.text]


def of_oracle(text: str) -> list[tuple[str, str]]:
    """Top-level headings and fences as markdown-it sees them."""
    found = []
    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    for at, token in enumerate(tokens):
        if token.level == 0 and token.type == "heading_open":
            found.append(("heading " + token.tag, tokens[at + 1].content))
        elif token.level == 0 and token.type == "fence":
            found.append(("fence", token.content.rstrip("\n")))
        elif token.level == 0 and token.type in ("bullet_list_open", "ordered_list_open", "table_open"):
            found.append((token.type.removesuffix("_open").split("_")[-1], ""))
    return found


def of_ours(text: str) -> list[tuple[str, str]]:
    found = []
    for section in parse(text).sections:
        if section.level:
            found.append((f"heading h{section.level}", section.path[-1]))
        for block in section.blocks:
            if block.kind == "code" and block.text.startswith("```"):
                found.append(("fence", block.text.split("\n", 1)[1].rsplit("\n", 1)[0]))
            elif block.kind in ("list", "table"):
                found.append((block.kind, ""))
    return found


PIECES = (
    "# One\n", "## Two ##\n", "Three\n=====\n", "Four\n----\n", "plain words\nover two lines\n",
    "```sh\nrun it\n```\n",
    "~~~\n# no heading\n~~~\n", "- a\n- b\n  - c\n\n  more\n", "1. a\n2. b\n", "| a | b |\n|---|---|\n| 1 | 2 |\n",
    "> quoted\n> more\n", "***\n", "<div>\nhtml\n</div>\n", "[label]: http://example.org\n",
    "* x\n\n      code in it\n",
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(st.lists(st.sampled_from(PIECES), max_size=8))
def test_the_outline_is_that_of_a_tree_parser(pieces: list[str]) -> None:
    text = "\n".join(pieces)
    merged = [new for old, new in zip([None, *of_oracle(text)], of_oracle(text), strict=False) if new]
    # Two lists with the same mark beside one another are one list or two: what they hold is the same.
    assert [entry for entry in of_ours(text) if entry[0] != "list"] == [e for e in merged if e[0] != "list"]
    assert ("list", "") in of_ours(text) or ("list", "") not in merged


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a [link](http://x.y/(z) 'title') and ![image](i.png) here", "a link and here"),
        ("[![badge](b.svg)](http://x.y)", ""),
        ("see [text][label], [label] and [not one]", "see text, label and [not one]"),
        ("`[code](stays)` and ``a ` b``", "`[code](stays)` and ``a ` b``"),
        ("<kbd>Ctrl</kbd>, <b>bold</b>, x<sup>2</sup>, a<br>b", "`Ctrl`, **bold**, x^2, a\nb"),
        ("Vec<T> and `Vec<T>` but <Note>no tag</Note>", "Vec<T> and `Vec<T>` but no tag"),
        ("AT&amp;T &lt;3 \\*stars\\*", "AT&T <3 *stars*"),
        ("<https://a.example/b> <!-- no --> footnote[^1]", "https://a.example/b footnote"),
        ('{{domxref("Node.append()", "append")}} {{jsxref("Map")}} {{Compat}}', "`append` `Map`"),
        ("one  \ntwo\nthree\\\nfour", "one\ntwo three\nfour"),
        ("done :tada: at 10:30:00", "done at 10:30:00"),
    ],
)
def test_a_paragraph_is_cleaned(text: str, expected: str) -> None:
    assert clean(text, {"label"}) == expected


def test_headings_are_plain_words() -> None:
    assert heading_text("The **bold** [link](x) `code` 🎉 {#own-id}") == "The bold link `code`"


def test_extensions_are_text_and_not_marks() -> None:
    text = """\
!!! note "Why?"
    It is noted.

=== "Linux"

    ```sh
    run
    ```

::: warning
Mind the gap.
:::

> [!NOTE]
> As GitHub has it.

Apple
:   A fruit that is round.

- `foo`
  - : Does foo.

```{admonition} Title
In MyST.
```

{% highlight python %}
print()
{% endhighlight %}

<details><summary>Really?</summary>Yes, and here are a few words more.</details>

<dl><dt>Term</dt><dd>What it means here.</dd></dl>

<table><tr><th>A</th><th>B</th></tr><tr><td>1</td><td>2</td></tr></table>
"""
    assert blocks(text) == [
        ("prose", "**Why?**"), ("prose", "It is noted."), ("prose", "**Linux**:"), ("code", "```sh\nrun\n```"),
        ("prose", "Mind the gap."), ("prose", "As GitHub has it."), ("list", "- **Apple**: A fruit that is round."),
        ("list", "- `foo`: Does foo."), ("prose", "**Title**:"), ("prose", "In MyST."),
        ("code", "```python\nprint()\n```"), ("prose", "**Really?**"),
        ("prose", "Yes, and here are a few words more."), ("list", "- **Term**: What it means here."),
        ("table", "| A | B |\n| --- | --- |\n| 1 | 2 |"),
    ]  # fmt: skip


def test_mdx_shows_its_text_alone() -> None:
    text = """\
import Tabs from '@theme/Tabs';
export const x = 3;

<Tabs groupId="os">
  <TabItem value="a" label="npm">

    Text in a tab.

  </TabItem>
</Tabs>

{/* hidden */} Shown <Since v="1.0" /> here.
"""
    assert blocks(text, mdx=True) == [
        ("prose", "**npm**:"),
        ("prose", "Text in a tab."),
        ("prose", "Shown here."),
    ]


def test_front_matter_of_both_kinds_gives_the_title() -> None:
    assert parse('---\ntitle: "A: b"\ntags: [x]\n---\ntext').title == "A: b"
    assert parse('+++\ntitle = "C"\n+++\n# D\n').title == "C"


def test_numbered_headings_hold_what_is_indented_below_them() -> None:
    document = parse("# Q\n\n1. ### What is it?\n\n   It is this.\n\n   - a\n\n2. ### And that?\n   That.\n")
    assert [(s.path[-1:], [b.text for b in s.blocks]) for s in document.sections[2:]] == [
        (("What is it?",), ["It is this.", "- a"]),
        (("And that?",), ["That."]),
    ]


@pytest.mark.parametrize(
    "unit", ["> ", "- ", "1. ", "* > ", "<div>", "[", "![", "`", "**", "{{", "{%", "<!--", "\\", "(["]
)
def test_ten_thousand_of_anything_inside_one_another_are_read(unit: str) -> None:
    for text in (
        unit * 10_000 + "x",
        "\n".join(" " * depth + unit + "x" for depth in range(400)),
        (unit + "\n") * 10_000,
    ):
        assert all(isinstance(block.text, str) for section in parse(text).sections for block in section.blocks)


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet=st.sampled_from("#*`-_[]()<>!|:\\\n ab1.>~{}\"'&\t=?%"), max_size=300), st.booleans())
def test_any_text_is_read(text: str, mdx: bool) -> None:
    for section in parse(text, mdx=mdx).sections:
        for block in section.blocks:
            assert isinstance(block.text, str)
            assert all(isinstance(item, str) for item in block.items)


def test_a_block_is_written_once_and_only_when_asked_for() -> None:
    written = []
    block = Block("prose", "raw", write=lambda b: (written.append(b.raw) or b.raw.upper(), ()))  # type: ignore[func-returns-value]
    assert written == []
    assert (block.text, block.text, written) == ("RAW", "RAW", ["raw"])
