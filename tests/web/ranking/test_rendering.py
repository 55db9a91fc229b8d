"""Text that nobody trusts: what is written is shown, nothing acts, nothing takes long."""

from __future__ import annotations

import re
import threading
import time
from html import unescape
from html.parser import HTMLParser

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from posttrain.web.ranking.formulas import formula_to_mathml
from posttrain.web.ranking.rendering import (
    LONGEST_SHOWN,
    Rendered,
    RenderingCache,
    render_markdown,
    render_plain,
    render_together,
)

HOSTILE = [
    "<script>alert(1)</script>",
    "<img src=x onerror=alert(1)>",
    "<svg onload=alert(1)><animate onbegin=alert(1)>",
    "<iframe srcdoc='<script>alert(1)</script>'></iframe>",
    "<style>body{display:none}</style><div style='position:fixed;inset:0'>",
    "[a](javascript:alert(1)) [b](JaVaScRiPt&colon;alert(1)) [c](data:text/html,<script>)",
    "[d](vbscript:x) <javascript:alert(1)> [e]\n\n[e]: javascript:alert(1)",
    "![i](http://evil.example/pixel.png) ![j](data:image/svg+xml;base64,PHN2Zz4=)",
    "[x](http://a.example/\"onmouseover=alert(1)) [y](<http://a.example/'><script>>)",
    "<math><annotation-xml encoding='text/html'><script>alert(1)</script></annotation-xml></math>",
    "<math><mtext><table><mglyph><style><img src=x onerror=alert(1)></style></mglyph></table></mtext></math>",
    r"$\text{<script>alert(1)</script>}$ $\href{javascript:alert(1)}{x}$ $\style{position:fixed}{x}$ $\class{a}{x}$",
    r"$\unicode{x202E}$ $\text{\u202e}$ \(\hspace{-999em}x\) $$\rule{999em}{999em}$$",
    '```"><script>alert(1)</script>\nx\n```',
    "```html\n<script>alert(1)</script><img src=x onerror=alert(1)>\n```",
    "&#x202E;abc &#0; &lt;script&gt; &NotEqualTilde; &#xD800;",
    "</div></article></main><form action=/logout><button>",
    "<!-- --><![CDATA[x]]><?php ?>",
    "\x00\ud800\u202e\u2066",
    "{{ 7*7 }} {% raw %} ${alert(1)} ` \"> ' onclick=x",
]
TAGS = [
    "p",
    "br",
    "hr",
    "h4",
    "h5",
    "h6",
    "strong",
    "em",
    "s",
    "code",
    "pre",
    "blockquote",
    "ul",
    "ol",
    "li",
    "table",
    "thead",
    "tbody",
    "tr",
    "th",
    "td",
    "span",
    "div",
    "math",
    "mrow",
    "mi",
    "mn",
    "mo",
    "ms",
    "mtext",
    "mspace",
    "mfrac",
    "msqrt",
    "mroot",
    "msub",
    "msup",
    "msubsup",
    "munder",
    "mover",
    "munderover",
    "mmultiscripts",
    "mprescripts",
    "none",
    "mtable",
    "mtr",
    "mtd",
    "mstyle",
    "mpadded",
    "mphantom",
    "menclose",
]
ATTRIBUTES = [
    "class",
    "title",
    "start",
    "display",
    "stretchy",
    "fence",
    "form",
    "separator",
    "largeop",
    "movablelimits",
    "mathvariant",
    "linethickness",
    "width",
    "columnalign",
    "displaystyle",
    "scriptlevel",
    "notation",
]


class Strict(HTMLParser):
    """Reads HTML and keeps its text; any tag or attribute that is not on the lists above is an error."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text = ""

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        assert tag in TAGS, tag
        for name, value in attributes:
            assert name in ATTRIBUTES, (tag, name)
            assert re.fullmatch(r"[\w .+-]*", value or ""), (tag, name, value)

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    handle_decl = handle_pi = unknown_decl = handle_comment


def text_of(rendered: Rendered) -> str:
    reader = Strict()
    reader.feed(rendered.html)
    reader.close()
    return reader.text


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize("render", [render_markdown, render_plain])
def test_hostile_text_is_only_text(text: str, render) -> None:
    rendered = render(text)
    text_of(rendered)
    rendered.html.encode("utf-8")
    for hidden in "\x00\u202e\u2066":
        assert hidden not in rendered.html


PIECES = st.sampled_from(
    [*HOSTILE, "\n", "\n\n", "> ", "- ", "    ", "*", "_", "`", "```\n", "$", "$$", "\\(", "\\)", "|"]
)


@given(st.lists(PIECES | st.text(max_size=8), max_size=12).map("".join))
@example("<" * 50)
@settings(max_examples=150, deadline=None)
def test_any_mixture_is_only_text(text: str) -> None:
    rendered = render_markdown(text)
    text_of(rendered)
    rendered.html.encode("utf-8")


def test_what_models_write_is_set_as_it_is_meant() -> None:
    html = render_markdown(
        "# Title\n\n**bold** and *em* and ~~gone~~\nnext line\n\n1. one\n2. two\n\n3 < 4\n\n| a | b |\n|---|---|\n| 1 | 2 |\n"
    ).html
    for part in (
        "<h4>Title</h4>", "<strong>bold</strong>", "<em>em</em>", "<s>gone</s><br>", "<li>one</li>", "3 &lt; 4",
        "<th>a</th>", "<td>2</td>",
    ):  # fmt: skip
        assert part in html


def test_code_has_colours_by_class() -> None:
    html = render_markdown("```python\ndef f(x):\n    return 'a<b'  # why\n```").html
    assert '<span class="c-keyword">def</span>' in html
    assert '<span class="c-comment"># why</span>' in html
    assert "&lt;b" in html
    assert "style=" not in html


@pytest.mark.parametrize(
    "text",
    [
        r"$x^2$",
        r"\(x^2\)",
        "\\[\nx^2\n\\]",
        "$$x^2$$",
        "$$\nx^2\n$$",
        "a \\[ x^2 \\] b",
        "\\begin{align}\nx^2 &= y\n\\end{align}",
    ],
)
def test_maths_in_every_usual_delimiter_is_mathml(text: str) -> None:
    html = render_markdown(text).html
    assert "<math" in html
    assert "<msup><mi>x</mi><mn>2</mn></msup>" in html


@pytest.mark.parametrize(
    "text", ["It costs $5 and then $10 more.", "a \\( b", "a \\[ b", "$ x $", "x \\(\\) y"]
)
def test_what_is_no_formula_stays_text(text: str) -> None:
    assert "<math" not in render_markdown(text).html


@pytest.mark.parametrize(
    "tex",
    ["\\frac{", "x" * 5_000, "{" * 50 + "}" * 50, r"\href{a}{b}", "\\left(", "\\begin{matrix}", "}", "\\"],
)
def test_formula_that_cannot_be_set_is_shown_as_its_source(tex: str) -> None:
    html = formula_to_mathml(tex, is_block=False)
    assert "<math" in html or tex.replace("&", "&amp;") in html


def test_links_and_images_show_where_they_would_lead_and_lead_nowhere() -> None:
    html = render_markdown(
        "[here](https://a.example/b) <https://c.example> ![cat](https://d.example/e.png)"
    ).html
    assert "<a" not in html
    assert "<img" not in html
    assert '<span class="link">here</span> <span class="address">https://a.example/b</span>' in html
    assert html.count("https://c.example") == 1
    assert "image: cat" in html
    assert "https://d.example/e.png" in html


def test_html_of_a_response_is_shown_as_it_was_written() -> None:
    assert text_of(render_markdown("<b>hi</b> &lt; &amp;")).strip() == "<b>hi</b> < &"


def test_entity_that_spells_a_hidden_character_is_a_badge() -> None:
    assert "right-to-left override" in render_markdown("&#x202E;abc").html


@pytest.mark.parametrize(
    "text", ["<http://x.example/%E2%80%AEabc>", r"$\text{&#x202E;}$", r"$\text{&rlm;a}$"]
)
def test_no_other_spelling_of_a_hidden_character_brings_it_in(text: str) -> None:
    html = render_markdown(text).html
    assert "\u202e" not in html
    assert "\u200f" not in html


@pytest.mark.parametrize("written", ["x<y then", "<img src=y>", "</math></div><h4>z", "&lt;b&gt;"])
def test_text_of_a_formula_is_not_read_as_html(written: str) -> None:
    rendered = render_markdown(rf"$\text{{{written}}}$")
    assert text_of(rendered).strip().replace("\u00a0", " ") == unescape(written)


@pytest.mark.parametrize(("language", "piece"), [("ocaml", "0"), ("matlab", "\n "), ("matlab", " \n")])
def test_code_that_a_lexer_reads_in_quadratic_time_takes_no_second(language: str, piece: str) -> None:
    start = time.process_time()
    render_markdown(f"```{language}\n{piece * (19_000 // len(piece))}\n```")
    render_markdown(f"```{language}\n{piece * (5_900 // len(piece))}\n```")
    assert time.process_time() - start < 1.5


def test_text_that_markdown_would_swallow_is_shown() -> None:
    for text in ("[a]: http://b.example", "```", "[secret]: <x> 'read me'"):
        rendered = render_markdown(text)
        assert rendered.note == "empty"
        assert text_of(rendered) == text


def test_nothing_is_nothing() -> None:
    assert render_markdown("").html == ""
    assert render_markdown(" \n ").note == ""


BIG = 60_000
SHAPES = {
    "quotes": "> " * 5_000 + "x",
    "quotes, one a line": "".join(">" * depth + " a\n" for depth in range(340)),
    "lists": "".join("  " * depth + "- a\n" for depth in range(240)),
    "lists 5,000 deep": "".join("  " * depth + "- a\n" for depth in range(5_000)),
    "lists in a line": "- " * 5_000 + "x",
    "numbers in a line": "1. " * 5_000 + "x",
    "brackets": "[" * BIG,
    "images": "![" * (BIG // 2),
    "links not closed": "[a](" * (BIG // 4),
    "stars": "*a **b " * (BIG // 7),
    "backticks": "` `` ``` " * (BIG // 9),
    "dollars": "$a " * (BIG // 3),
    "formulas": "$x_1$ " * (BIG // 6),
    "bracket formulas not closed": "\\(" * (BIG // 2),
    "block formulas not closed": "\\[\n" * (BIG // 3),
    "environments not closed": "\\begin{align}\n" * (BIG // 14),
    "table": "a|" * (BIG // 2) + "\n" + "-|" * (BIG // 2),
    "list items": "- a\n" * (BIG // 4),
    "fences": "```python\n" * (BIG // 10),
    "perl": "```perl\n" + "<" * 19_000 + "\n```",
    "comments": "```html\n" + "<!--" * 4_500 + "\n```",
    "hidden": "\u200ba" * (BIG // 2),
    "hidden entities": "&#x202e;" * (BIG // 8),
    "zalgo": ("a" + "\u0301" * 99) * (BIG // 100),
    "surrogates": "\ud800" * BIG,
    "NUL": "\x00 " * (BIG // 2),
    "1 MB line": "a" * 1_000_000,
    "1 MB of words": "ab " * 333_333,
    "100,000 lines of code": "```\n" + "x = 1\n" * 100_000 + "```",
    "mixture": "*_`[<$\\&" * (BIG // 8),
}


@pytest.mark.parametrize("name", SHAPES)
def test_no_shape_of_text_takes_a_second_or_loses_all_of_itself(name: str) -> None:
    text = SHAPES[name]
    start = time.process_time()
    rendered = render_markdown(text)
    assert time.process_time() - start < 1
    assert len(rendered.html) < 4_000_000
    assert rendered.html
    text_of(rendered)


def test_deep_nesting_is_plain_text_and_says_so() -> None:
    rendered = render_markdown(SHAPES["quotes"])
    assert rendered.note == "deep"
    assert text_of(rendered) == SHAPES["quotes"]


def test_long_text_is_cut_for_showing_and_whole_when_asked_for() -> None:
    rendered = render_markdown("a" * (LONGEST_SHOWN + 1))
    assert (rendered.note, rendered.is_partial) == ("long", True)
    assert len(text_of(rendered)) == LONGEST_SHOWN
    whole = render_plain("a" * (LONGEST_SHOWN + 1), is_whole=True)
    assert len(text_of(whole)) == LONGEST_SHOWN + 1
    assert not whole.is_partial


def test_eight_hostile_texts_of_a_page_share_one_time_limit() -> None:
    texts = [f"{number}" + "[" * (BIG - number - 1) for number in range(8)]
    start = time.process_time()
    rendered = render_together(texts)
    assert time.process_time() - start < 1.5
    assert {one.note for one in rendered} == {"slow"}


def test_cache_is_bounded_and_serves_threads() -> None:
    cache = RenderingCache(most_characters=100)
    for number in range(50):
        cache.put(f"{number:02d}", Rendered("x" * 18))
    assert sum(cache.get(f"{number:02d}") is not None for number in range(50)) == 5
    assert cache.get("49") == Rendered("x" * 18)
    errors: list[BaseException] = []

    def work() -> None:
        try:
            for number in range(200):
                text_of(render_markdown(f"**{number}** $x_{{{number}}}$ <script>"))
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not errors
