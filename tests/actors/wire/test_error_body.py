"""What an error says, from pages that want to take long."""

import time

import pytest

from manystream.actors.wire.error_body import plain_text, read_error_body, text_of_html


@pytest.mark.parametrize(
    "piece",
    ["<title>", "<title", "</title", "<script", "</script ", "<head></head", "<", "&amp;", "&", "<!--", "a.", "://"],
)
def test_a_page_made_to_be_slow_is_read_fast(piece: str) -> None:
    page = piece * (1_000_000 // len(piece))
    began = time.process_time()
    plain_text(text_of_html(page))
    read_error_body(page)
    assert time.process_time() - began < 1  # the time it would take otherwise is minutes


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("<html><head><TITLE lang='en'>Sign\nin</TITLE></head><body>please</body>", "Sign in please"),
        ("<title>\u0130 am</title>x", "\u0130 am \u0130 am x"),
        ("<title>no end <b>bold</b>", "no end bold"),
        ("<script>var a = '<b>';</script>1 &lt; 2", "1 < 2"),
    ],
)
def test_the_words_of_a_page(page: str, words: str) -> None:
    assert text_of_html(page) == words
