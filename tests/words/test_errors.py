"""What a compiler prints, cut into mistakes, and places that only the source tells."""

from __future__ import annotations

from checker.words import errors

SAID = """\
In file included from ./include/linux/kernel.h:29,
                 from lab/a.c:3:
lab/a.c: In function 'f':
lab/a.c:9:3: warning: unused variable 'x' [-Wunused-variable]
    9 |   int x;
      |       ^
./include/linux/socket.h:191:25: error: passing argument 1 of 'g' makes pointer from integer
  191 | #define AF_INET 2
lab/a.c:12:4: note: in expansion of macro 'AF_INET'
lab/a.c:12:9: error: too few arguments to function 'g'
./include/linux/net.h:5:1: note: declared here
lab/a.c:20:1: error: expected ';' before '}' token
ERROR: modpost: "h" [lab/a.ko] undefined!
"""


def test_what_is_said_of_one_line_is_one_mistake() -> None:
    """The place is the student's, also where gcc stops in a header; modpost has none."""
    found = errors.mistakes(SAID)
    places = [(one.place, one.serious) for one in found]
    assert places == [
        ("lab/a.c:9", False),
        ("lab/a.c:12", True),
        ("lab/a.c:20", True),
        ("", True),
    ]
    assert "makes pointer" in found[1].text
    assert "too few" in found[1].text
    assert "declared here" in found[1].text
    assert errors.first(SAID) == "lab/a.c:12"
    assert errors.holding(SAID, "before '}'") == "lab/a.c:20"
    assert errors.mistakes("") == []


def test_a_call_inside_a_function_is_found() -> None:
    """Not its declaration at the first column, nor a comment or a longer name."""
    source = "int helper(int a);\n/* helper(1) */\nint f(void)\n{\n\thelpers();\n\thelper(1);\n}\n"
    assert errors.used({"a.c": source}, "helper") == "a.c:6"
    assert not errors.used({"a.c": source}, "other")


def test_functions_that_are_closed_are_none_that_is_not() -> None:
    """Initializers, strings with braces and functions in one line are no trouble."""
    source = (
        "static int one(void) { return 1; }\n"
        "struct ops {\n\tint a;\n};\n"
        'static const char *text(void)\n{\n\treturn "{";\n}\n'
    )
    assert errors.never_closed({"a.c": source}) == ("", "")
    opened = source + "static int two(int a)\n{\n\tif (a) {\n\t\treturn 2;\n}\n"
    assert errors.never_closed({"a.c": opened}) == ("a.c:9", "two")


def test_a_source_full_of_open_comments_costs_no_time() -> None:
    """A comment that is never closed ends the code, and is looked for once."""
    code = errors.code("int a;\n" + "/* " * 300_000)
    assert code.startswith("int a;\n")
    assert not code.strip().removeprefix("int a;")


def test_a_source_full_of_open_strings_and_long_words_costs_no_time() -> None:
    """What is never closed ends with its line, and no word is tried from each of its letters."""
    assert errors.code('a("\nb(\'\nc("d");') == "a( \nb( \nc(   );"
    quotes = '\\"' * 200_000
    assert not errors.code(f"#if 0\n{quotes}\n#endif").splitlines()[1].strip("\\ ")
    word = "a" * 200_000
    assert errors.never_closed({"a.c": f"{word} +(\n{{\n"}) == ("a.c:1", "")
