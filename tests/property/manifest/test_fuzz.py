"""No input whatever gives a traceback; what is said points into the file."""

import re
from pathlib import Path

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from hsorch.manifest.load import Loaded, load_bytes

CALM = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
"""A busy machine is no fault."""

CASES = Path(__file__).parents[2] / "unit" / "manifest" / "cases"
MANIFESTS = [path.read_bytes() for path in sorted(CASES.glob("*.yaml"))]
VALID = (CASES / "valid-pair.yaml").read_text()

TOKENS = re.findall(r"\s+|[A-Za-z0-9./-]+|.", VALID)
ODD = [
    *["{", "}", "[", "]", ":", ": ", ",", "- ", "? ", "|", ">", "&a ", "*a", "!t ", "#", "\n", "\n  ", "\t"],
    *[
        "'",
        '"',
        "%",
        "---\n",
        "...\n",
        "<<: ",
        "null",
        "~",
        "true",
        "on",
        "010",
        "1.10",
        "22:22",
        "0x1F",
        ".nan",
    ],
    *[
        "-1",
        "1e400",
        "9" * 5000,
        "${x}",
        "${",
        "$${x}",
        "é",
        "\u2028",
        "\x85",
        "\ufeff",
        "\x00",
        "0s",
        "::/0",
    ],
    *[
        "fe80::1%eth0/64",
        "10.0.0.0/0",
        "255.255.255.255/32",
        "{vip}",
        "host:99999",
        "http://[",
        "ipv6",
        "0 per 0s",
    ],
    *[r'"5s\n"', r'"plant\n"', r'"a\0b"', r'"10.0.0.1/24\n"', r'"3 per 1h\n"', r'"{vip}:80\n"'],
]


def load(data: bytes) -> Loaded:
    loaded = load_bytes(data, "cluster.yaml", folder=Path("/site"), environ={"HSORCH_VAR_x": "1.10"})
    assert (loaded.cluster is None) == bool(loaded.errors)
    for found in loaded.diagnostics:
        for span in (found.span, *(label.span for label in found.related)):
            assert span.line >= 1
            assert span.column >= 1
            assert (span.end_line, span.end_column) >= (span.line, span.column)
            line = loaded.sources[span.file].line(span.line)
            assert span.column <= len(line) + 1
        assert found.message
        assert found.help
    return loaded


@CALM
@given(st.binary(max_size=300))
def test_any_bytes(data: bytes) -> None:
    load(data)


@CALM
@given(st.text(max_size=300))
def test_any_text(text: str) -> None:
    load(text.encode("utf-8", "surrogatepass"))


@CALM
@given(st.lists(st.sampled_from([*ODD, "a", "b: ", "cluster: "]), max_size=40))
def test_any_mixture_of_yaml_signs(parts: list[str]) -> None:
    load("".join(parts).encode())


@settings(CALM, max_examples=400)
@given(
    st.lists(st.tuples(st.integers(0, len(TOKENS) - 1), st.sampled_from(ODD)), min_size=1, max_size=4),
    st.booleans(),
)
def test_a_manifest_with_odd_values_in_it(changes: list[tuple[int, str]], insert: bool) -> None:
    tokens = list(TOKENS)
    for index, odd in changes:
        tokens[index] = tokens[index] + odd if insert else odd
    load("".join(tokens).encode())


@settings(CALM, max_examples=200)
@given(st.sampled_from(MANIFESTS), st.integers(0, 2000), st.integers(0, 2000))
def test_a_manifest_with_a_piece_cut_out(data: bytes, start: int, length: int) -> None:
    load(data[:start] + data[start + length :])


_SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(-5, 70_000), st.sampled_from(ODD), st.text(max_size=5)
)
_KEYS = st.sampled_from(sorted({token for token in TOKENS if token.isalpha()}))
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=20,
)


@settings(CALM, max_examples=300)
@given(st.dictionaries(st.sampled_from(["servers", "links", "witness", "group", "policy", "vars"]), _VALUES))
def test_sections_of_any_shape(sections: dict[str, object]) -> None:
    import json

    text = json.dumps({"version": 1, "cluster": "c", "preferred": "a", **sections})
    load(text.encode())
