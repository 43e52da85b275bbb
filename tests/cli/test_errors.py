"""What is wrong on the command line is one line, whatever it is."""

import subprocess
import sys

import pytest

LONG = "x" * 5000


@pytest.mark.parametrize(
    ("arguments", "typed", "said"),
    [
        (("doctor", "--state", LONG), b"", "File name too long. Mend that, then try again."),
        (("user", "add", "ann", "--password-stdin", "--state", "gone"), b"\xff\xfe12345678\n", "is not UTF-8 text"),
        (("user", "add", "ann", "--password-stdin", "--state", "gone"), b"", "The password has 0 bytes; 8 to 72"),
        (("user", "add", "ann lee", "--state", "gone"), b"", "the hub's login takes no space and no comma"),
        (("user", "add", "ann", "--group", "a\nb", "--state", "gone"), b"", "cannot be a group's name"),
        (("user", "add", "ann", "--group", "", "--state", "gone"), b"", '"" cannot be a group\'s name'),
    ],
    ids=["a name too long", "a password in Latin-1", "no password", "a space", "a group of two lines", "no group"],
)
def test_one_line(tmp_path, arguments, typed, said):
    command = [sys.executable, "-c", "from mlabhub.cli import main; main()", *arguments]
    ended = subprocess.run(command, input=typed, capture_output=True, cwd=tmp_path, timeout=60, check=False)
    assert (ended.returncode, ended.stdout) == (1, b"")
    (line,) = ended.stderr.decode().splitlines()
    assert line.startswith("mlabhub: ")
    assert said in line
