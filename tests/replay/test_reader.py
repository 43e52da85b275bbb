"""Workloads as files: what is accepted, and one sentence for everything that is not."""

import json

import pytest

from mlabhub.core.sharing.model import Ask
from mlabhub.replay import InvalidWorkload, read_workload

NODE = {"name": "n1", "gpu_type": "a100", "gpus": 8, "cpu": 96, "memory_gib": 768}
ONE = {
    "t": 0.0,
    "id": "r17",
    "user": "alice",
    "group": "vision",
    "gpu_type": "a100",
    "gpus": 2,
    "cpu": 16,
    "memory_gib": 128,
    "duration_s": 7200.0,
    "interactive": True,
    "profile": "a100-train",
    "priority": 0,
}


def lines(*objects):
    return [json.dumps(one).encode() + b"\n" for one in objects]


FIRST = lines({"cluster": {"nodes": [NODE]}})


def test_what_is_documented_is_read():
    least = {key: value for key, value in ONE.items() if key not in ("profile", "priority")}
    bare = {**least, "id": "b", "gpu_type": None, "gpus": 0, "t": 5}
    found = read_workload([*FIRST, b"\n", *lines(ONE, bare)])
    assert [node.to_dict() for node in found.nodes] == [NODE]
    assert found.requests[0].to_dict() == {key: value for key, value in ONE.items() if key != "priority"}
    assert (found.requests[1].profile, found.requests[1].priority, found.requests[1].gpus) == ("", 0, 0)
    assert found.requests[1].ask == Ask(0, None, 16_000_000, 128_000_000)
    assert found.notes == ()


def test_a_type_without_gpus_means_nothing():
    found = read_workload([*FIRST, *lines({**ONE, "gpus": 0})])
    assert found.requests[0].ask.gpu_type is None


def test_a_byte_order_mark_and_a_workload_without_requests_are_read():
    assert read_workload([b"\xef\xbb\xbf" + FIRST[0]]).requests == ()


def test_lines_out_of_order_are_sorted_and_told():
    found = read_workload([*FIRST, *lines({**ONE, "t": 9}, {**ONE, "t": 3, "id": "x"}, {**ONE, "t": 9, "id": "y"})])
    assert [one.id for one in found.requests] == ["x", "r17", "y"]
    assert found.notes == ("1 line is earlier than the line before (the first is line 3); all were sorted by time.",)


@pytest.mark.parametrize(
    ("key", "value", "says"),
    [
        ("t", -1, "line 2: t: -1 is not a time in seconds, 0 or more"),
        ("t", None, "line 2: t: null is not a time"),
        ("t", "0", 'line 2: t: "0" is not a time'),
        ("id", "", 'line 2: id: "" is not a text of 1 to 200'),
        ("id", 17, "line 2: id: 17 is not a text"),
        ("user", None, "line 2: user: null is not a text"),
        ("group", 3, "line 2: group: 3 is not a text"),
        ("gpu_type", "A100", 'line 2: gpu_type: "A100" is not a type such as "a100"'),
        ("gpus", -1, "line 2: gpus: -1 is not a whole number, 0 or more"),
        ("gpus", True, "line 2: gpus: true is not a whole number"),
        ("gpus", 1.5, "line 2: gpus: 1.5 is not a whole number"),
        ("gpus", 10**400, "line 2: gpus: a number of more than 80 digits is not a whole number"),
        ("cpu", True, "line 2: cpu: true is not a finite number, 0 or more"),
        ("memory_gib", "128", 'line 2: memory_gib: "128" is not a finite number'),
        ("duration_s", -0.5, "line 2: duration_s: -0.5 is not a number of seconds"),
        ("interactive", 1, "line 2: interactive: 1 is not true or false"),
        ("interactive", None, "line 2: interactive: null is not true or false"),
        ("profile", None, "line 2: profile: null is not a text"),
        ("priority", 0.5, "line 2: priority: 0.5 is not a whole number"),
        ("priority", [], "line 2: priority: [] is not a whole number"),
    ],
)
def test_a_wrong_value_is_named_with_its_line_and_what_would_be_right(key, value, says):
    with pytest.raises(InvalidWorkload) as caught:
        read_workload([*FIRST, *lines({**ONE, key: value})])
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("key", [key for key in ONE if key not in ("profile", "priority")])
def test_an_absent_key_is_named(key):
    with pytest.raises(InvalidWorkload, match=f"line 2: {key} is missing; there must be t, id, user"):
        read_workload([*FIRST, *lines({one: value for one, value in ONE.items() if one != key})])


def raw(text):
    return [*FIRST, text.encode()]


@pytest.mark.parametrize(
    ("given", "says"),
    [
        ([], "line 1: the workload is empty; the first line says what there is"),
        ([b"\n", b" \n"], "line 1: the workload is empty"),
        (lines(ONE), "line 1: there is no cluster in"),
        (lines({"cluster": {"nodes": []}}), "line 1: cluster.nodes: [] is not a list of nodes, one or more"),
        (lines({"cluster": []}), "line 1: cluster: [] is not an object"),
        (lines({"cluster": {"nodes": [NODE], "x": 1}}), 'line 1: cluster."x" is not known; there are nodes'),
        (lines({"cluster": {"nodes": [NODE, NODE]}}), 'line 1: cluster.nodes[1].name: "n1" is there twice'),
        (lines({"cluster": {"nodes": [{**NODE, "gpu_type": None}]}}), "line 1: cluster.nodes[0].gpu_type: null does"),
        (lines({"cluster": {"nodes": [{**NODE, "gpus": -8}]}}), "line 1: cluster.nodes[0].gpus: -8 is not a whole"),
        (lines({"cluster": {"nodes": ["n1"]}}), 'line 1: cluster.nodes[0]: "n1" is not an object'),
        ([*FIRST, *lines({**ONE, "colour": 1})], 'line 2: "colour" is not known; there are t, id'),
        ([*FIRST, *lines(ONE, ONE)], 'line 3: id: "r17" is on line 2 already; each request has its own id'),
        ([*FIRST, *lines([1])], "line 2: [1] is not an object"),
        (raw('{"t": NaN}'), "line 2: NaN is not a number; write one that is finite"),
        (raw('{"t": -Infinity}'), "line 2: -Infinity is not a number"),
        (raw(json.dumps(ONE).replace("7200.0", "1e309")), "line 2: duration_s: inf is not a number of seconds"),
        (raw('{"t": 1, "t": 2}'), 'line 2: the key "t" is there twice'),
        (raw('{"t": 1'), 'line 2: "{"t": 1" is not JSON'),
        (raw("[" * 200_000), "line 2: it is nested too deeply"),
        ([*FIRST, b"\xff\xfe\n"], "line 2: it is not text in UTF-8"),
        ([*FIRST, b" " * ((16 << 20) + 1)], "line 2: it is longer than 16 MiB"),
    ],
)
def test_what_is_no_workload_is_told_in_one_sentence(given, says):
    with pytest.raises(InvalidWorkload) as caught:
        read_workload(given)
    assert str(caught.value).startswith(says)
    assert "\n" not in str(caught.value)


def test_the_lines_are_taken_one_at_a_time():
    taken = []

    def endless():
        yield FIRST[0]
        for number in range(10**9):
            taken.append(number)
            yield lines({**ONE, "id": f"r{number}", "t": -1 if number == 1000 else number})[0]

    with pytest.raises(InvalidWorkload, match="line 1002: t: -1"):
        read_workload(endless())
    assert len(taken) == 1001
