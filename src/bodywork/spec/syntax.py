"""The YAML parser's complaints in plain words.

The parser in C and the one in Python word some of them differently; both are known here.
"""

from __future__ import annotations

from typing import Any

SENTENCES: tuple[tuple[str, str], ...] = (
    (
        "mapping values are not allowed",
        'a ":" is not allowed here: either the indentation is wrong, or text that holds ": " lacks quotes',
    ),
    ("sequence entries are not allowed", "a list item is not allowed here: each needs a line of its own"),
    ("block collections are not allowed", "this is not allowed here: check the indentation"),
    ("did not find expected key", "this does not fit: check the indentation, quotes and brackets before it"),
    ("expected <block end>", "this does not fit: check the indentation, quotes and brackets before it"),
    ("did not find expected '-'", 'expected a list item that begins with "- ": check the indentation'),
    ("expected ',' or '}'", 'this "{" is not closed: expected "," or "}" in line %d'),
    ("expected ',' or ']'", 'this "[" is not closed: expected "," or "]" in line %d'),
    ("could not find expected ':'", 'expected "key: value", but there is no ":" after the key'),
    ("unknown escape character", 'unknown escape after "\\": double the backslash, or use single quotes'),
    ("expected hexdecimal number", 'the escape after "\\" lacks hexadecimal digits'),
    ("escape sequence of", 'the escape after "\\" lacks hexadecimal digits'),
    ("invalid Unicode character escape", 'the escape after "\\" is not a character'),
    ("unexpected end of stream", "a quote is opened here and never closed"),
    ("unexpected document separator", "a quote is opened here and never closed"),
    ("<document start>", "the document has ended before this: is a bracket or the indentation wrong?"),
    ("undefined tag handle", "a tag (a word with !) means nothing here: remove it, or put quotes around it"),
    ("violates indentation", "a tab cannot indent in YAML: use blanks"),
    ("incompatible YAML document", "the %YAML line names a version that does not exist: remove it"),
    (
        "expected alphabetic or numeric",
        'after "&" or "*" a name is missing: put text that begins so in quotes',
    ),
    ("did not find expected node content", "a value is missing here"),
    ("expected the node content", "a value is missing here"),
    ("exceeded max depth", "nested too deeply"),
    ("chomping or indentation indicators", 'after "|" or ">" the text must begin on the next line'),
    ("expected comment or line break", 'after "|" or ">" the text must begin on the next line'),
    ("expected a comment or a line break", 'after "|" or ">" the text must begin on the next line'),
)
OPENED = ("unexpected end of stream", "unexpected document separator", "expected ',' or", "expected ':'")
"""Complaints about something that begins where their context does."""


def explain(error: Any, text: str) -> tuple[str, int, int]:
    """A sentence, the line and the column for a `yaml.MarkedYAMLError` over `text`."""
    problem = str(error.problem or error.context or "")
    found = error.problem_mark or error.context_mark
    mark = error.context_mark if error.context_mark and any(o in problem for o in OPENED) else found
    if not mark:
        return _sentence(problem, "", 0), 0, 0
    line, column = mark.line + 1, mark.column + 1
    return _sentence(problem, _character(text, line, column), found.line + 1), line, column


def _sentence(problem: str, character: str, seen: int) -> str:
    """`character` is the one complained about, `seen` the line where it came out."""
    if "cannot start any token" in problem:
        if character == "\t":
            return "a tab cannot indent in YAML: use blanks"
        return f'text cannot begin with "{character}": put it in quotes'
    for words, sentence in SENTENCES:
        if words in problem:
            return sentence % seen if "%d" in sentence else sentence
    return f"this is not YAML: {problem}"


def _character(text: str, line: int, column: int) -> str:
    lines = text.splitlines()
    if 0 < line <= len(lines) and column <= len(lines[line - 1]):
        return lines[line - 1][column - 1]
    return ""
