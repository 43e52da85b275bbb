"""New people, from forms and files: what is taken, and what is told of the rest, at its line."""

from __future__ import annotations

import csv
import io
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mlabhub.core.people import (
    COLUMNS,
    MOST_LINES,
    InvalidPerson,
    NewPerson,
    fault_of_password,
    make_password,
    read_csv,
    read_person,
    read_quota,
)
from mlabhub.errors import MLabError

HEADER = "name,groups,quota,profile,admin\n"
HOSTILE = ['=cmd|"/c calc"!A1', "<img src=x onerror=alert(1)>", "a\u202eb", "x" * 10_000, "../root", "{}", "a\nb"]


def test_a_person_is_read() -> None:
    person = read_person("Ann", ("vision", "nlp", "vision"), "gpu=4, cpu=none", " cpu ", admin=True)
    assert person == NewPerson("ann", ("vision", "nlp"), {"gpu": 4.0, "cpu": None}, "cpu", True)


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"name": "ann lee"}, "takes no space and no comma"),
        ({"name": "root"}, "it is a system account's name"),
        ({"name": ""}, "cannot be used"),
        ({"name": "ann", "groups": [" x"]}, "cannot be a group's name"),
        ({"name": "ann", "groups": [str(number) for number in range(51)]}, "51 groups are too many"),
        ({"name": "ann", "quota": "gpu"}, '"gpu" is no quota'),
        ({"name": "ann", "quota": "gpu=-1"}, '"gpu=-1" is no quota'),
        ({"name": "ann", "quota": "gpu=nan"}, '"gpu=nan" is no quota'),
        ({"name": "ann", "quota": "gpu=1 gpu=2"}, '"gpu=2" is no quota'),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_cannot_be_is_told(given: dict[str, object], told: str) -> None:
    with pytest.raises(MLabError, match=re.escape(told)):
        read_person(**given)  # type: ignore[arg-type]


def test_a_file_is_read_line_by_line() -> None:
    rows = ["name;groups;quota;admin", "", "Ann;vision;gpu=4;yes", "b b;;;", '"c";"nlp; x";;', "ann;;;", "d;;;maybe"]
    text = "\r\n".join(rows)
    lines = read_csv(b"\xef\xbb\xbf" + text.encode())
    assert [(line.number, line.name, line.person is not None) for line in lines] == [
        (3, "ann", True),
        (4, "b b", False),
        (5, "c", True),
        (6, "ann", False),
        (7, "d", False),
    ]
    assert lines[2].person is not None
    assert lines[2].person.groups == ("nlp", "x")
    assert str(lines[3].fault) == '"ann" stands in line 3 already.'
    assert str(lines[4].fault) == 'admin is "maybe"; write yes or no.'


def test_a_cell_over_two_lines_is_told_where_it_begins() -> None:
    lines = read_csv((HEADER + 'ann,"a\nb",,,\nben,,,,\n').encode())
    assert [(line.number, line.person is not None) for line in lines] == [(2, False), (4, True)]


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"", "nobody in it"),
        (b"name\n", "nobody in it"),
        (b"groups\nx\n", "names the columns"),
        (b"name,name\nx,y\n", "names the columns"),
        (b"name,pass\nx,y\n", "It has name, pass."),
        (b"name\n\xff\xfe\n", "not UTF-8"),
        (b'name\n"ann\n', "Line 2 cannot be read as CSV"),
        (b"name\n" + b"a\n" * (MOST_LINES + 1), "more than 1000 people"),
        (b"name\n" + b"a" * 600_000, "524288 are possible"),
    ],
    ids=lambda value: str(value)[:24],
)
def test_what_is_no_such_file(data: bytes, told: str) -> None:
    with pytest.raises(InvalidPerson, match=re.escape(told)):
        read_csv(data)


@given(st.lists(st.lists(st.text(max_size=20) | st.sampled_from(HOSTILE), min_size=1, max_size=7), max_size=8))
def test_whatever_is_in_cells_every_line_is_a_person_or_a_sentence(rows: list[list[str]]) -> None:
    text = io.StringIO()
    csv.writer(text).writerows([list(COLUMNS), *rows])
    try:
        lines = read_csv(text.getvalue().encode("utf-8", "replace"))
    except InvalidPerson:
        return
    assert all((line.person is None) != (line.fault is None) for line in lines)
    names = [line.person.name for line in lines if line.person is not None]
    assert len(names) == len(set(names))
    assert [line.number for line in lines] == sorted(line.number for line in lines)


@given(st.text(max_size=40))
def test_a_quota_is_read_or_refused(text: str) -> None:
    try:
        quota = read_quota(text)
    except InvalidPerson:
        return
    assert all(amount is None or amount >= 0 for amount in quota.values())


def test_passwords_can_be_used_and_read() -> None:
    drawn = {make_password() for _ in range(200)}
    assert len(drawn) == 200
    assert all(fault_of_password(one) is None and not set(one) & set("0O1lI=+@") for one in drawn)
    assert fault_of_password("short") is not None
    assert fault_of_password("ü" * 37) is not None
    assert fault_of_password("eight\x00chars") is not None
