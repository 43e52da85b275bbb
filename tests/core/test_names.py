"""Names: no two things ever share a slug, a folder or a server name."""

import re
import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from mlabhub.core.names import (
    MAX_FOLDER,
    MAX_SLUG,
    check_display_name,
    check_user_name,
    folder_name,
    is_saved_name,
    is_server_name,
    make_saved_name,
    make_server_name,
    server_slug,
    user_slug,
)
from mlabhub.errors import InvalidLaunch

SLUG = re.compile(r"[a-z0-9]+(-+[a-z0-9]+)*")
FOLDER = re.compile(r"[a-z_][a-z0-9_.-]{0,31}")

# Names close to each other, and to slugs of each other: where collisions would be.
close_names = st.one_of(
    st.text(alphabet="ab-_.A", min_size=1, max_size=6),
    st.text(max_size=8),
    st.text(alphabet="ab-", max_size=4).map(user_slug),
    st.text(alphabet="ab-", max_size=4).map(folder_name),
    st.text(alphabet="abc", min_size=25, max_size=45),
)
pairs = st.tuples(close_names, close_names)


@pytest.mark.parametrize(
    ("user", "server", "slug"),
    [("alice", "", "alice"), ("alice", "train", "alice--train"), ("a-b", "c-d", "a-b--c-d"), ("2022", "", "2022")],
)
def test_safe_names_stay_as_they_are(user, server, slug):
    assert server_slug(user, server) == slug


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (("user-a", "b"), ("user", "a-b")),
        (("a", "b"), ("a--b", "")),
        (("Alice", ""), ("alice", "")),
        (("a_b", ""), ("a-b", "")),
        (("a" * 39, "b"), ("a" * 38, "ab")),
        (("ab", "c"), ("a", "bc")),
        (("é", ""), ("e\u0301", "")),
        (("", "a"), ("a", "")),
    ],
)
def test_neighbours_differ(one, other):
    assert server_slug(*one) != server_slug(*other)


@given(pairs, pairs)
@example(("alice", "x"), (server_slug("alice", "x"), ""))
@example(("Alice", ""), (user_slug("Alice"), ""))
def test_server_slugs_never_collide(one, other):
    slugs = server_slug(*one), server_slug(*other)
    assert (slugs[0] == slugs[1]) == (one == other)
    assert all(SLUG.fullmatch(slug) and len(slug) <= MAX_SLUG for slug in slugs)


@given(close_names, close_names)
@example("Alice", folder_name("Alice"))
def test_folders_never_collide_and_never_lead_elsewhere(one, other):
    folders = folder_name(one), folder_name(other)
    assert (folders[0] == folders[1]) == (one == other)
    assert all(FOLDER.fullmatch(name) and ".." not in name and len(name) <= MAX_FOLDER for name in folders)


@given(close_names, close_names)
def test_user_slugs_never_collide(one, other):
    assert (user_slug(one) == user_slug(other)) == (one == other)


@pytest.mark.parametrize("name", ["alice", "a.b", "_svc", "a-b", "x" * 32])
def test_plain_folders_keep_the_name(name):
    assert folder_name(name) == name


@pytest.mark.parametrize("name", ["root", "..", ".", "a..b", "Alice", "x" * 33, "-a", "9a", "a/b", "a\n", "", "a---b"])
def test_other_folders_are_escaped(name):
    assert folder_name(name) != name
    assert "---" in folder_name(name)


@pytest.mark.parametrize("name", ["alice", "Alice", "weird@ex.com", "a b", "张伟", "x" * 255, "a_b", "{}", "{0.x}"])
def test_user_names_that_we_can_work_with(name):
    assert check_user_name(name) == name


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("", "empty"),
        ("x" * 256, "more than 255"),
        ("a/b", "folder"),
        ("..", "folder"),
        (" alice", "space"),
        ("alice\n", "space"),
        ("ali\nce", "cannot be seen"),
        ("ali\u200bce", "cannot be seen"),
        ("ali\u202ece", "cannot be seen"),
        ("ali\ud800ce", "cannot be seen"),
        ("ali\u2028ce", "cannot be seen"),
        ("ali\u200fce", "cannot be seen"),
        ("ali\0ce", "cannot be seen"),
        ("ali\u1680ce", "cannot be seen"),
        ("ａlice", "looks like"),
        ("root", "system"),
        ("Root", "system"),
        ("nobody", "system"),
    ],
)
def test_user_names_that_we_refuse(name, why):
    with pytest.raises(InvalidLaunch, match=why) as caught:
        check_user_name(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize("name", ["train", "Train_2", "训练_1", "x" * 27, "_", "Ωmega"])
def test_display_names(name):
    assert check_display_name(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        "x" * 28,
        "a b",
        "a-b",
        "a\n",
        "ａ",
        "e\u0301",
        "<b>",
        "{}",
        "a\u200b",
        "²",
        None,
        7,
        True,
        ["a"],
        "x" * 200,
        "x" * 10_000,
        "a\0b",
        "a\u200fb",
        "..",
        "a/b",
        "{0.x}",
    ],
)
def test_not_display_names(name):
    with pytest.raises(InvalidLaunch, match="letters, digits and underscores") as caught:
        check_display_name(name)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 250


@pytest.mark.parametrize(
    ("display", "taken", "name"),
    [
        ("My_Run", (), "my-run"),
        ("My_Run", ("my-run",), "my-run-2"),
        ("my__run", ("my-run", "my-run-2"), "my-run-3"),
        ("训练", (), "server"),
        ("训练", ("server",), "server-2"),
        ("2nd", (), "s-2nd"),
        ("___", (), "server"),
        ("Ünï", (), "uni"),
        ("x" * 40, (), "x" * 30),
        ("x" * 40, ("x" * 30,), "x" * 28 + "-2"),
        ("Lab", (), "lab-2"),
        ("desktop_VNC", ("desktop-vnc-2",), "desktop-vnc-3"),
    ],
)
def test_make_server_name(display, taken, name):
    assert make_server_name(display, taken) == name


@given(st.lists(st.text(max_size=40), max_size=12))
def test_server_names_are_the_hubs_and_never_shared(displays):
    taken: list[str] = []
    for display in displays:
        name = make_server_name(display, taken)
        assert is_server_name(name)
        assert name not in taken
        taken.append(name)


@pytest.mark.parametrize("name", ["", "A", "-a", "a-", "a--b", "1a", "a\n", "x" * 31, "a_b", None, 3])
def test_not_server_names(name):
    assert not is_server_name(name)


@pytest.mark.parametrize("name", ["a", "my-env", "torch-2", "x" * 40])
def test_saved_names(name):
    assert is_saved_name(name)


@pytest.mark.parametrize(
    "name",
    [
        "",
        "A",
        "a_b",
        "a--b",
        "-a",
        "a-",
        "1a",
        "a/b",
        "..",
        ".",
        "a\n",
        "a\0",
        "x" * 41,
        "ａ",
        "а",
        "{}",
        None,
        7,
        ["a"],
    ],
)
def test_not_saved_names(name):
    assert not is_saved_name(name)


@given(st.lists(st.text(max_size=60), max_size=12))
def test_saved_names_that_are_made_are_never_shared(displays):
    taken: list[str] = []
    for display in displays:
        name = make_saved_name(display, taken)
        assert is_saved_name(name)
        assert name not in taken
        taken.append(name)


ESCAPES = {"user": user_slug, "folder": folder_name, "server": lambda name: server_slug("alice", name)}
# Names that a file system or a reader may take for one another: case, spelling, marks that are not seen.
twins = st.text(max_size=6).flatmap(
    lambda text: st.sampled_from(
        [
            (text, text.upper()),
            (text, text.swapcase()),
            (unicodedata.normalize("NFC", text), unicodedata.normalize("NFD", text)),
            (text, f"{text}\u200f"),
            (text, f"{text}\n"),
            (text, f"{text}\0"),
            (text, f"../{text}"),
            (text, f"{{{text}}}"),
            (text.replace("-", "_"), text.replace("_", "-")),
            (f"{text}-a", f"{text}_a"),
        ]
    )
)


@pytest.mark.parametrize("escape", ESCAPES.values(), ids=ESCAPES)
@given(pair=st.tuples(close_names, close_names) | twins)
@example(pair=("Straße", "STRASSE"))
@example(pair=("İ", "i̇"))
@example(pair=("alice", "аlice"))
@example(pair=("x" * 200, "x" * 199 + "y"))
def test_storage_that_does_not_tell_case_or_spelling_apart_mixes_nobody(escape, pair):
    """SMB and macOS fold case and spelling; what is made of names is ASCII in lower case, so nothing is lost there."""
    one, other = pair
    made = [unicodedata.normalize("NFC", escape(name)).casefold() for name in pair]
    assert (made[0] == made[1]) == (one == other)
    assert all(name.isascii() and name == name.lower() for name in made)


@given(st.text(max_size=300))
@example("0\u16800")
def test_checks_are_total(text):
    for check in (check_user_name, check_display_name):
        try:
            outcome = check(text)
        except InvalidLaunch as error:
            outcome = str(error)
        assert outcome.isprintable()
        assert outcome != text or text == unicodedata.normalize("NFKC", text)
