"""Spellings that kubectl and the loader must read alike, and those where they differ on purpose."""

from __future__ import annotations


def _words(text: str) -> list[str]:
    return text.split()


# Values of one field, one by one as `v: …`.
PLAIN = (
    *_words("y Y yes Yes YES yEs n N no No NO nO on On ON oN off Off OFF true True TRUE tRue false False FALSE T F t f"),
    *_words("~ null Null NULL nUll nullx nan inf Infinity NaN Inf +Inf .Nan e1 e - + . .. _ ... = << ! a~ ~a"),
    *_words("0 00 -0 +1 -1 12 0644 -0644 0o644 0O644 0o8 08 089 00000009 0_7 1_000 1__0 1_ _1 +_1 -_1 0_ 0-"),
    *_words("0x1F 0X1f -0x1F +0x1F 0x 0xG 0x_1 0x1_ 0_x1 0b11 -0b11 0B1 +0b1 0b 0b2 0b_1 0o 0O_7 0_o7 0o9 --1 +-1 1+1"),
    *_words("1e3 1E3 1e+3 12e03 1e15 1e18 1e19 1e21 1e22 1e308 1.8e308 1e400 -1e400 1e-7 1e-400 1e 0e 0e0 1_e3 1e_3"),
    *_words(".5 5. -.5 +.5 .0 -0.0 1. 1.e3 1.0 0.1 1_000.5 1_.5 1._5 .5_5 .1_0 ._5 .1_ .1__0 -._5 -.1_0 .5e3 .5E+3"),
    *_words(".5e .e3 .5e1_0 .5e_1 .1e400 .0x1 0x1p-2 0.0.0 1.2.3 1.20 v1.2 10m 1Gi 123abc 12e3f 4.9e-324 1e-6"),
    *_words("9223372036854775807 9223372036854775808 -9223372036854775808 -9223372036854775809"),
    *_words("18446744073709551615 18446744073709551616 +18446744073709551615 99999999999999999999999"),
    *_words("0x7fffffffffffffff 0xFFFFFFFFFFFFFFFF 0xFFFFFFFFFFFFFFFFF -0x8000000000000000 -0x8000000000000001"),
    *_words("01777777777777777777777 02000000000000000000000 0777777777777777777777777 -01000000000000000000000"),
    *_words("9007199254740993.0 1000000000000000128.0 9223372036854775807.0 -9223372036854775809.0 9.3e18"),
    *_words("1.7976931348623157e308 1.7976931348623159e308 2.2250738585072014e-308 3.14159265358979323846"),
    *_words("1:30 190:20:30 12:30:45 2020-01-01 2001-12-14t21:59:43.10-05:00 0.1.2 0xabc 1,000 1;2"),
    *(".inf", "-.inf", "+.Inf", ".nan", ".NaN", "9" * 309, "9" * 5000, "0" * 500 + "1", "0x" + "0" * 500 + "1"),
    *("0b" + "1" * 64, "0b" + "1" * 65, "-0b1" + "0" * 63, "." + "3" * 500, "0." + "3" * 5000),
    *("１２", "٣", "1 000", "a b", "a#b", "a #b", "a:b", "a b:c", ":a", "-a", "?a", "'a'", '"a"', "''", '""', "'12'"),
    *('"yes"',),
    *("@a", "`a", "%a", "a%b", "*", "&a", "a'b", 'a"b', "'it''s'", "(a)", "<a>", "$a", "/a", "\\a", "a\\nb", ";"),
    *("http://a/b",),
    *("é", "日本語", "😀", "e\u0301", "\u00ad", "\ufffd", "a\u00a0b", "\u3000x", "\u200bx", "\ue000", "\U0010ffff"),
    *("\ufdd0",),
    *('"\\u00e9"', '"\\U0001F600"', '"\\ud800"', '"\\x41\\0\\a\\b\\e\\t\\v\\f\\r\\N\\_\\L\\P\\ \\""', '"\\q"'),
    *('"\\U00110000"',),
    *("!!str 12", "!!str true", "!!str", "!!str ~", "!!str <<", "!!int 12", "!!int '0644'", "!!int foo"),
    *("!!int 1.5", "!!int"),
    *("!!int true", "!!int 99999999999999999999", "!!int 2001-01-01", "!!float 1", "!!float '1.5'", "!!float foo"),
    *("!!float ~",),
    *("!!float .inf", "!!float true", "!!bool yes", "!!bool 'on'", "!!bool foo", "!!bool 1", "!!null ''"),
    *("!!null foo", "!!null"),
    *("!!binary aGVsbG8=", "!!binary gIGC", "!!binary 4oI=", "!!binary 7aCA", "!!binary 'YWJ='", "!!binary ''"),
    *('!!binary "aGV\\nsbG8="',),
    *("!!binary '####'", "!!binary 'aG kA'", "!!binary 'abcd='", "!!binary 'abcd===='", "!!binary 'ab==ab=='"),
    *("!!binary a", "!!binary ~"),
    *("! 12", "! '12'", "! true", "! ''", "! [1]", "!foo 12", "!foo true", "!foo [1, 2]", "!foo {a: 1}", "!foo"),
    *("!foo ~", "!e!foo 12"),
    *("!<tag:yaml.org,2002:int> 12", "!<tag:yaml.org,2002:str> 12", "!<!bar> 12", "!!%69nt 12", "!!foo 12"),
    *("!%zz a", "!é a", "!a !b c"),
    *("!!timestamp 2001-01-01", "!!set {a, b}", "!!omap [a: 1]", "!!map [1]", "!!seq {a: 1}", "!!str [1]"),
    *("!!merge <<", "!!value ="),
    *("{}", "[]", "{a}", "{a: 1, b: 2,}", "[1, 2,]", "[1,,2]", "[,1]", "{,}", "{a, b: 1}", "{a:1}", "{a:1, b:2}"),
    *("[a:1]", "[a: 1, b: 2]"),
    *('{"a":1}', "{'a':1}", '{"a":b}', '{"a":[1]}', '{"a":{"b":"c"}}', "{a: b:c}", "[http://x/y, a]"),
    *("{http://x/y: 1}", "{a: -1}", "[-1]"),
    *("[-]", "[- a]", "{? a : b}", "{? a}", "[?a]", "{: a}", "{:a}", "{a: :b}", "[:a]", "[::]", "[a::b]"),
    *("{a: ,b: 1}", "[a#b]", "[[[]]]"),
    *("{{}: 1}", "{[a]: 1}", "{a: 1", "[a", "{a: 1]", "[a] b", "[a]: b", "]", "}", ",", "a,b", "a]b", "[a%b, %c]"),
    *("[@a]", "[&a,b]", "a: b"),
    *("- a", "? a", "|", ">", "[😀, é]", "'a' 'b'", "'a'b", '"a"#c', '"a" #c', "&x a", "&a &b c", "*nope", "& a"),
    *("!a!b c", "{a: 1, a: 2}"),
    *("{a: {b: 1}, a: {c: 2}}", "{a: {b: 1}, a: }"),
    *("{<<: {a: 1}, a: 2}",),
    *("{a: 1, <<: {a: 2, b: 2}}", "{<<: [{a: 1}, {a: 2, b: 2}], b: 3}", "{b: 3, <<: [{a: 1}, {a: 2, b: 2}]}"),
    *("{a: {b: 1}, <<: {a: {c: 1}}}",),
    *("{<<: {a: 1}, <<: {a: 2, b: 3}}", "{<<: {<<: {a: 1, b: 1}, b: 2}, c: 3}"),
    *("{k: 2, <<: {k: }}", "{<<: []}"),
    *("{<<: ~}", "{<<: 1}", "{<<: [[{a: 1}]]}", "{<<: [1]}", "{'<<': {a: 1}}", "{&m <<: {a: 1}}"),
    *("{!!merge <<: {a: 1}}", "{!!str <<: 1}"),
    *("{<<: &m {a: 1}, b: *m}", "[&x {k: 1}, {<<: *x, k: 2}, {k: 2, <<: *x}, {<<: [*x, {k: 3, l: 4}]}]"),
    *("[&x [{a: 1}], {<<: *x}]",),
    *("[&x {a: 1}, &y {<<: *x, a: 2, b: 3}, {<<: [*x, *y]}, {<<: [*y, *x], c: *y}]", "[&x 1, {<<: *x}]"),
    *("[&x 1, {<<: [*x]}]",),
    *("[&a 1, *a, &a 2, *a]", "[&a {x: &b 1}, *b, *a]", "{&a a: *a}", "[&a k, {*a : v}]", "[&a 1, {*a : v}]"),
    *("[&a true, {*a : v}]",),
    *("[&a [k], {*a : v}]", "[&a ~, {*a : v}]", "&s {a: *s}", "&s [*s]", "[&a , *a]", "[&a-b 1, *a-b]"),
    *("[&1 1, *1]", "[&é 1]"),
)  # fmt: skip

# Keys of one mapping, each with a plain value.
KEYS = (
    *_words("1 01 0x1F 1.5 1.0 1.10 1e3 1e5 1e6 1e15 1e18 1e19 1e20 1e21 1e-4 1e-5 1e-7 12345678.5 999999.5 16777217.0 0.3"),
    *_words("123456789012345678901 1.5e300 -1e39 -0.0 -0 -5 +1 1_0 0b1 0o17 3.14159265 123456.789e3 9223372036854775807"),
    *_words("true yes on y Y n off 2001-01-01 .inf -.inf .nan = '1' 'yes' '<<' é 😀 ? null ~ 9223372036854775808 !foo"),
    *("!!str 1", "!!str yes", "!!int '1'", "!!bool 'yes'", "!!float 1.50", "!!binary aGk=", "!foo 1", "! yes"),
    *("! '1'", "!!null ''"),
    *("&k key", "&k 1", "'a b'", "a b", '"\\u00e9"', "[1]", "{a: b}", "k" * 1024, "k" * 1025, ""),
    *("!!timestamp 2001-01-01",),
)  # fmt: skip

# Everything below the header of a document.
BODIES = (
    *(f"v: {style}\n  a\n   b\n\n\nw: 1\n" for style in ("|", "|-", "|+", ">", ">-", ">+", "|2", "|1-", ">+1", "|9", "|0", "| # c", "|# c")),
    *(f"v: {style}\n  a" for style in ("|", "|-", "|+", ">", ">-", ">+", "")),
    *("v: |\n", "v: |\n\n\nw: 1\n", "v: |+\n\n\nw: 1\n", "v: |\n   a\n  b\n", "v: |\n\n   a\n"),
    *("v: |\n     \n  a\n", "v: |\n  a\n # c\nw: 1\n"),
    *("v: |\n\ta\n", "v: |\n  \ta\t\n", "v: |\n  a  \n", "v: |\r\n  a\r\n  b\r\n", "v: >\r\n  a\r\n  b\r\n"),
    *("v: >\n  a\n  b\n\n  c\n   d\n  e\n",),
    *("v: >\n  - a\n  - b\n   - c\n", "v: &x |\n  a\nw: *x\n", "v: !!int |\n  12\n", "v: |++\n a\n"),
    *("v: |\n  a\n b\n", "v:\n- |\n  a\n-  |\n  b\n"),
    *("v: a\n  b\n", "v: a\n\n  b\n", "v: a\nb\n", "v: 'a\n\n  b'\n", 'v: "a\n\n  b  \n c"\n', 'v: "a \\\n   b"\n'),
    *("v: 'a\nb'\n", "v: 'a\n'\n"),
    *("v: a\tb\n", "v:\ta\n", "v: a\t# c\n", "v\t: a\n", "v:\n\tw: a\n", "v:\n  w: a\n\tx: b\n", "\tv: a\n"),
    *("v:\n  -\ta\n", "v:\n  -\tw: a\n"),
    *("v: [\ta,\n\tb\n\t]\n", "v: {\n\ta: 1\n}\n", "v:\n  w: 1\n\t\n  x: 2\n", "v:\n  w: 1\n  \t# c\n  x: 2\n"),
    *("v: 1\n\t", 'v: "\ta\t"\n'),
    *("v: [\na,\nb\n]\n", "v: {\na: 1\n}\n", "v: [a\n b, c]\n", "v: [a,#b\n]\n", "v: [a, #b\n]\n", "v: - a\n"),
    *("v: a:\n", "v:a\n", "v:#a\n", "v : a\n"),
    *("? v\n: a\n", "? v\n", "? v\nw: a\n", "? |\n  v\n: a\n", "v: ?\n", "-v: a\n", "- v: a\n", "v:\n- a\n- b\n"),
    *("v:\n  - a\n - b\n", "v:\n - a\n  - b\n"),
    *("v:\n- - a\n  - b\n- - c\n", "v:\n- a: 1\n  b: 2\n-  c: 3\n   d: 4\n", "v:\n-\n  a: 1\n-\n- b\n"),
    *("v:\n  w: 1\n   x: 2\n", "v:\n   w: 1\n  x: 2\n"),
    *("v: &a\n  x: 1\nw: *a\n", "v: *a\n", "v: &x\n    b: 1\nw:\n  <<: *x\n  b: 2\n", "v: &a: c\n"),
    *("v: &a b\nw: {*a : c}\n", "&x v: a\nw: *x\n"),
    *("v: a\u2028  b\n", 'v: "a\u2028b"\n', "v: |\n  a\u2028  b\n  c\n", "v: a\x85  b\n", 'v: "a \x85 b"\n'),
    *("v: |\n  a\x85  b\n", "v: a # \u2028w: b\n"),
    *("v: \x07\n", 'v: "\x1b"\n', "v: \x7f\n", "v: \x80\n", "v: \ufffe\n", "v: a\x0cb\n", "# \x07\nv: 1\n"),
    *("v: \ufeffa\n", "v: a\ufeffb\n", 'v: "\ufeff"\n'),
    *("v: 1\n]\n", "{v: 1}\n", "v: |\n  {{ range .x }}\n", "v: 'abc\nw: 1\n", 'v: "abc\nw: 1\n', "v: a\n  - b\n"),
    *("v: a\n  w: b\n", "v: a\n w\n", "w: 1\nw: 2\n"),
    *("v: " + "x" * 200_000 + "\n", "v: '" + "x " * 50_000 + "'\n", "v: [" + "1," * 5_000 + "1]\n"),
    *("x" * 5_000 + ": 1\n",),
    *("v:\n" + "".join(f"{' ' * depth}a:\n" for depth in range(1, 60)), "v: " + "[" * 120 + "]" * 120 + "\n"),
)  # fmt: skip

HEADER = "apiVersion: example.org/v1\nkind: Foo\nmetadata: {name: %s}\n"
JSON = '{"apiVersion": "example.org/v1", "kind": "Foo", "metadata": {"name": "%s"}, "v": §}'

# Values of a JSON file's field.
JSON_VALUES = (
    *_words("1 1.0 1e3 -0 -0.0 1e-400 1E400 01 +1 .5 5. 0x1F 1_0 NaN Infinity yes true null ~ [] {} [1,2,] [1]]"),
    *_words("9223372036854775807 9223372036854775808 99999999999999999999999 1e18 1000000000000000128.0"),
    *('"yes"', '"\\/"', '"\\ud83d\\ude00"', '"\\ud800"', '"\\udc00\\ud800x"', '"\\u0000"', '"\\x41"', "'a'", '"a\tb"'),
    *('"a\nb"', '"\x7f"', '" \u2028 "', '"a \x85 b"', '"\ufffe"', '"\x01"', '"é😀"', '"a\\\nb"', "[" * 120 + "]" * 120),
    *('{"a":1,}', "[1 2]", '{"a":1 "b":2}', "{a:1}", '{"a":1,"a":2}', '{"<<":{"a":1}}', '{"a":{"b":1},"a":{"c":2}}'),
    *('{"1":1,"true":2,"null":3}', '{"a"\n:\n1}', "[\n1,\n2\n]", "1 /* c */", "1 # c\n", '{"' + "k" * 2000 + '":1}'),
)  # fmt: skip

# Whole files: §1, §2, … stand for the header of a document of that number, §J1 for one in JSON.
_BETWEEN = (
    *("---\n", "---\n---\n", "--- # c\n", "---   \n", "---\t\n", "--- #c\n", "---#c\n", "---\r\n", "---foo\n"),
    *("...\n---\n", "---\n# c\n---\n", "---\n~\n---\n", "---\nnull\n---\n", " ---\n", "---\n\ufeff", "----\n"),
)  # fmt: skip
_BEFORE = (
    *("---\n", "---\n\n---\n", "\n\n\n", "# c\n\n", "   \n\t\n", "\t# c\n", "  # c\n"),
    *("\ufeff", "\ufeff---\n", "\ufeff# c\n---\n", "\ufeff\ufeff"),
)  # fmt: skip
FILES = (
    *(f"§1{separator}§2" for separator in _BETWEEN),
    *(f"{start}§1" for start in _BEFORE),
    *(f"§1{end}" for end in ("---", "---\n", "--- ", "...", "...\n", "# c", "\n\n", "---\n# only a comment\n")),
    *("§1v: |\n  a\n  ---\n  b\n---\n§2", '§1v: "a\n---\nb"\n', '§1v: "a\n --- b"\n', "§1v: a\n ---\n b\n"),
    *("§1v: a: b\n---\n§2", "§1---\nv: a: b\n---\n§2", "§1---\n§J2", "§1---\n§J2\n---\n§J3", "# c\n§J1", "---\n§J1"),
    *(f"§J1{separator}§J2" for separator in ("", "\n", "\n\n\t ", "\n---\n", "\nnull\n", ",", "\n--- #c\n")),
    *("§J1\n---\n§2", "§J1\n§2", "§J1---\n§2", "§J1\n---\n§2---\n§J3", "§J1\n# c\n", "§J1}", "§J1]"),
    *("\n\n  §J1", "\t§J1", "\ufeff§J1", "\u00a0§J1", " " * 5000 + "§J1"),
)  # fmt: skip

# Files in other encodings, and such that are in none: \udcff stands for the byte 0xff.
ENCODED = (
    *(("§1v: é😀\n", encoding) for encoding in ("utf-16", "utf-16-le", "utf-16-be", "utf-32", "latin-1")),
    *(("\ufeff§1v: é😀\n---\n§2", encoding) for encoding in ("utf-16-le", "utf-16-be")),
    *(("§J1", encoding) for encoding in ("utf-16", "utf-16-be")),
    *((f"§1v: {text}\n", "utf-8") for text in ("\udc80 x", '"\udcff\udcfe"', "\udce2\udc82", "\udced\udca0\udc80")),
    *((f"§1v: {text}\n", "utf-8") for text in ("\udcc0\udc80", "\udcf4\udc90\udc80\udc80", "caf\udce9 cr\udce8me")),
    *(("§1# \udce9t\udce9\nv: 1\n", "utf-8"), ("§1v: a\udce2\udc82", "utf-8")),
    *(("§1v: é\nw: 1\n", "utf-8"), ("§1v: 1\r\n---\r\n§2w: 1\r\n", "utf-8")),
)  # fmt: skip

# Where the loader differs from kubectl on purpose: the file, what it reports, and the reason.
_LENIENT = "kubectl refuses it; read here, since nothing is in doubt"
_LIBYAML = "goyaml and libyaml, which the loader is built on, differ in what they refuse"
DIFFERENT = (
    ("§1v: 0b+1\n", "", "a sign inside a binary number is a slip of goyaml that nobody writes"),
    ("§1v: !!float 9223372036854775808\n", "", _LENIENT),
    ("§1v: !!timestamp foo\n", "", _LENIENT),
    ('§1v: "\\/"\n', "", _LENIENT),
    ("§1v: [!a,b]\n", "", _LIBYAML),
    ("§1v: !a,b c\n", "yaml-syntax", _LIBYAML),
    ('§1v: "\\\'"\n', "yaml-syntax", _LIBYAML),
    ("§1v: [a:]\n", "yaml-syntax", _LIBYAML),
    ("§1v: {a:}\n", "yaml-syntax", _LIBYAML),
    ("§1v: !%ED%A0%80 a\n", "yaml-syntax", "a tag of no valid UTF-8"),
    ("§1\ufeffv: a\n", "yaml-syntax", "a mark of byte order amid a document would become part of the key"),
    ("§1v: " + "[" * 200 + "]" * 200, "yaml-bomb", "the depth is bounded to 128 levels, in kubectl to 10,000"),
    ("§1v: {1: a, 1.0: b}\n", "duplicate-key", "kubectl takes either by chance; the last one is read here"),
    ("§1v: {1: a, '1': b}\n", "duplicate-key", "kubectl takes either by chance; the last one is read here"),
    (
        "§1v: {'true': 1, <<: {yes: 2}}\n",
        "merge-overrides",
        "kubectl takes either by chance; the last one is read here",
    ),
    ("%YAML 1.1\n---\n§1", "kubectl-refuses", "read and reported"),
    ("--- {a: b}\n---\n§1", "kubectl-refuses", "read and reported"),
    ("--- !foo\n§1", "kubectl-refuses", "read and reported"),
    ("----: x\n---\n§1", "", "kubectl takes any line of three dashes for a separator, and refuses this one"),
    ("§1...\n§2", "yaml-syntax", "kubectl passes over what follows ... without a word; reported here"),
    (
        "§1---\n§J2\n§J3",
        "yaml-syntax",
        "kubectl passes over a second JSON object after YAML without a word; reported here",
    ),
    ("§1---\r§2", "", "kubectl knows no separator that ends in a lone carriage return"),
    ("§J1 x", "", "text after JSON is a document of its own here; no object either way"),
    ("§1---\n{}\n---\n§2", "", "what is no object is for the reader of documents to say"),
    ('§1---\n"text"\n---\n§2', "", "what is no object is for the reader of documents to say"),
)


def value(text: str) -> str:
    """Return the rest of a document whose field has that value."""
    return f"v: {text}\nw: [1]\n"
