"""Image references that are typed in: one spelling, parsed whole, held against the list exactly."""

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydantic import ValidationError

from mlabhub.core.references import AllowedImages, ImageReference, is_registry, parse_reference

DIGEST = "sha256:" + "0123456789abcdef" * 4

GOOD = {
    "master0:5000/eflops/nv-pytorch:21.09-py3-nlp-base": "master0:5000/eflops/nv-pytorch:21.09-py3-nlp-base",
    "nvcr.io/nvidia/pytorch": "nvcr.io/nvidia/pytorch:latest",
    "localhost/mlabhub/base": "localhost/mlabhub/base:latest",
    "localhost:5000/x": "localhost:5000/x:latest",
    "192.0.2.1:5000/a/b/c:V1_x.y-z": "192.0.2.1:5000/a/b/c:V1_x.y-z",
    "[2001:db8::1]:5000/x:1": "[2001:db8::1]:5000/x:1",
    f"r.example.org/x@{DIGEST}": f"r.example.org/x@{DIGEST}",
    f"r.example.org/x:1@{DIGEST}": f"r.example.org/x:1@{DIGEST}",
    "r.example.org/a__b/c.d/e---f": "r.example.org/a__b/c.d/e---f:latest",
    "r.example.org:65535/x:" + "t" * 128: "r.example.org:65535/x:" + "t" * 128,
}


@pytest.mark.parametrize(("typed", "canonical"), GOOD.items(), ids=[typed[:40] for typed in GOOD])
def test_good_references(typed, canonical):
    reference = parse_reference(typed)
    assert str(reference) == canonical
    assert parse_reference(str(reference)) == reference


BAD = {
    "nothing": "",
    "no host": "eflops/x:1",
    "no host, one word": "pytorch",
    "host without a dot or port": "master0/eflops/x",
    "host alone": "master0:5000",
    "host and slash": "master0:5000/",
    "scheme": "https://master0:5000/eflops/x",
    "transport": "docker://master0:5000/eflops/x",
    "archive": "docker-archive:/etc/passwd",
    "account": "user@master0:5000/eflops/x",
    "account and password": "user:pass@master0:5000/eflops/x",
    "parent folder": "master0:5000/eflops/../other/x",
    "parent folder first": "master0:5000/../x",
    "dot folder": "master0:5000/./x",
    "empty part": "master0:5000/eflops//x",
    "slash at the end": "master0:5000/eflops/x/",
    "slash first": "/master0:5000/x",
    "upper case": "master0:5000/eFlops/x",
    "upper-case host": "MASTER0:5000/eflops/x",
    "space before": " master0:5000/eflops/x",
    "space after": "master0:5000/eflops/x ",
    "space inside": "master0:5000/eflops/ x",
    "newline": "master0:5000/eflops/x:1\n",
    "newline inside": "master0:5000/eflops/x\n:1",
    "carriage return": "master0:5000/eflops/x:1\r",
    "tab": "master0:5000/eflops/x\t",
    "NUL": "master0:5000/eflops/x\0",
    "right-to-left mark": "master0:5000/eflops/x\u200f",
    "zero width": "master0:5000/eflops\u200b/x",
    "cyrillic": "master0:5000/еflops/x",
    "full width": "master0:5000/ｅflops/x",
    "unicode digits": "master0:٥٠٠٠/eflops/x",
    "ideographic stop": "r。example/x",
    "no port": "master0:/eflops/x",
    "port 0": "master0:0/eflops/x",
    "port with a zero in front": "master0:05000/eflops/x",
    "port too large": "master0:65536/eflops/x",
    "port in words": "master0:http/eflops/x",
    "two ports": "master0:5000:5000/eflops/x",
    "two tags": "master0:5000/eflops/x:1:2",
    "empty tag": "master0:5000/eflops/x:",
    "tag begins with a dot": "master0:5000/eflops/x:.1",
    "tag too long": "master0:5000/eflops/x:" + "t" * 129,
    "empty digest": "master0:5000/eflops/x@",
    "digest short": "master0:5000/eflops/x@sha256:0123",
    "digest long": f"master0:5000/eflops/x@{DIGEST}0",
    "digest in upper case": f"master0:5000/eflops/x@{DIGEST.upper()}",
    "digest unknown": "master0:5000/eflops/x@md5:" + "0" * 32,
    "two digests": f"master0:5000/eflops/x@{DIGEST}@{DIGEST}",
    "digest before tag": f"master0:5000/eflops/x@{DIGEST}:1",
    "query": "master0:5000/eflops/x?a=b",
    "fragment": "master0:5000/eflops/x#a",
    "percent": "master0:5000/eflops%2fx",
    "backslash": "master0:5000\\eflops\\x",
    "template": "master0:5000/eflops/{username}",
    "shell": "master0:5000/eflops/$(id)",
    "pattern": "master0:5000/eflops/*",
    "hyphen first": "-v/etc:5000/x",
    "host begins with a hyphen": "-master0:5000/x",
    "long name": "master0:5000/" + "x" * 250,
    "very long": "master0:5000/" + "x/" * 5_000_000,
    "a number": 7,
    "null": None,
    "a list": ["master0:5000/x"],
}


@pytest.mark.parametrize("typed", BAD.values(), ids=BAD.keys())
def test_bad_references(typed):
    assert parse_reference(typed) is None


@given(st.text(alphabet="ab0:/.@-_ \n*", max_size=30) | st.sampled_from(list(GOOD)) | st.text(max_size=20))
@example("a.b/c\n")
def test_what_is_parsed_is_the_whole_text(typed):
    reference = parse_reference(typed)
    if reference is not None:
        assert str(reference) in (typed, f"{typed}:latest")
        assert str(reference).isascii()
        assert is_registry(reference.registry)
        assert "/" in str(reference)


def test_an_engine_is_asked_by_digest():
    assert ImageReference("r.io", "x", "1", DIGEST).exact == f"r.io/x@{DIGEST}"
    assert ImageReference("r.io", "x", "1").exact == "r.io/x:1"


@pytest.mark.parametrize(
    ("pattern", "repository", "allowed"),
    [
        ("eflops/*", "eflops/x", True),
        ("eflops/*", "eflops/a/b", False),
        ("eflops/*", "eflops", False),
        ("eflops/*", "other/eflops/x", False),
        ("eflops/**", "eflops/a/b/c", True),
        ("eflops/**", "eflops", False),
        ("**", "a", True),
        ("**", "a/b", True),
        ("*", "a/b", False),
        ("**/x", "a/b/x", True),
        ("**/x", "x", False),
        ("a/**/x", "a/b/c/x", True),
        ("nv-*/py*ch", "nv-7/pytorch", True),
        ("nv-*/py*ch", "nv-7/a/pytorch", False),
        ("a.b", "axb", False),
        ("a.b", "a.b", True),
    ],
)
def test_patterns(pattern, repository, allowed):
    rule = AllowedImages(registry="master0:5000", repository=pattern)
    assert rule.allows(ImageReference("master0:5000", repository, "1")) is allowed


@pytest.mark.parametrize(
    "registry", ["master0:5001", "master0.lan:5000", "xmaster0:5000", "evil.org", "localhost:5000"]
)
def test_other_registries_are_others(registry):
    rule = AllowedImages(registry="master0:5000", repository="**")
    assert not rule.allows(ImageReference(registry, "x", "1"))


@pytest.mark.parametrize(
    ("registry", "repository", "wrong"),
    [
        ("localhost", "*", "cannot be localhost without a port"),
        ("master0", "*", "must be a registry's host"),
        ("https://r.io", "*", "must be a registry's host"),
        ("R.io", "*", "must be a registry's host"),
        ("r.io:99999", "*", "must be a registry's host"),
        ("r.io/x", "*", "must be a registry's host"),
        ("*.io", "*", "must be a registry's host"),
        ("r.io\n", "*", "must be a registry's host"),
        ("r.io", "/x", "must be a repository's path"),
        ("r.io", "x/", "must be a repository's path"),
        ("r.io", "X", "must be a repository's path"),
        ("r.io", "a**", "must be a repository's path"),
        ("r.io", "x:1", "must be a repository's path"),
        ("r.io", "[ab]", "must be a repository's path"),
        ("r.io", "x\n", "must be a repository's path"),
        ("r.io", ".*", "must be a repository's path"),
        ("r.io", "x-/*", "must be a repository's path"),
        ("r.io", "x/../*", "must be a repository's path"),
        ("r.io", "a..b", "must be a repository's path"),
    ],
)
def test_wrong_rules(registry, repository, wrong):
    with pytest.raises(ValidationError, match=wrong):
        AllowedImages(registry=registry, repository=repository)
