"""The file is read the same way before and after there is a Python, and nothing in it is ever executed."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from mlabhub.site import InvalidSite, Site, find_site_file, load_site, read_site_file, shown
from mlabhub.site.file import parse
from mlabhub.site.keys import KEYS

CHECKOUT = Path(__file__).resolve().parents[2]
SHELL = f"set -u; CHECKOUT=/nowhere; CACHE=/nowhere; fail() {{ exit 9; }}; . {CHECKOUT}/setup/lib/site.sh; "
PRINT = 'read_site "$1"; echo "=$?"; for key in "${!SITE[@]}"; do printf "%s=%s\\n" "$key" "${SITE[$key]}"; done | sort'


def write(folder: Path, text: str | bytes) -> Path:
    file = folder / "site.conf"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def by_shell(file: Path) -> tuple[bool, dict[str, str], list[str]]:
    """Return whether the shell takes the file, what it reads, and its faults."""
    answer = subprocess.run(
        ["bash", "-c", SHELL + PRINT, "test", str(file)], capture_output=True, text=True, check=True, timeout=20
    )
    status, *lines = answer.stdout.splitlines()
    return status == "=0", dict(line.split("=", 1) for line in lines), answer.stderr.splitlines()


def test_every_key_is_read(tmp_path: Path):
    (tmp_path / "key.gpg").write_text("key")
    examples = {name: entry["example"] for name, entry in KEYS.items()}
    examples["APT_KEYRING"] = str(tmp_path / "key.gpg")
    examples["CA_FILE"] = "/etc/ssl/certs/ca-certificates.crt"
    file = write(tmp_path, "# all of them\n" + "".join(f"{name} = {value} \r\n" for name, value in examples.items()))
    found = read_site_file(file)
    assert found.faults == ()
    assert all(getattr(found.site, name.lower()) for name in KEYS)
    taken, values, faults = by_shell(file)
    assert (taken, values, faults) == (True, examples, [])


def test_lists_and_pairs(tmp_path: Path):
    text = "PIP_TRUSTED_HOST=a.lab, b.lab:81 a.lab\nNO_PROXY=.lab,10.0.0.0/8\nHTTP_PROXY=http://p:1\n"
    text += (
        "REGISTRY_MIRRORS=docker.io=http://m:5000/hub/ ghcr.io=https://n\nCONDA_CHANNELS=conda-forge\nNPM_REGISTRY=\n"
    )
    site = read_site_file(write(tmp_path, text)).site
    assert site.pip_trusted_host == ("a.lab", "b.lab:81")
    assert site.no_proxy == (".lab", "10.0.0.0/8")
    assert site.registry_mirrors == (("docker.io", "http://m:5000/hub"), ("ghcr.io", "https://n"))
    assert site.npm_registry == ""


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("PIP_INDEX=http://x/", "PIP_INDEX: is not a key that is known here: did you mean PIP_INDEX_URL?"),
        ("cGFzc3dvcmQ0secret=", "site.conf:3: is not a key that is known here"),
        ("pip_index_url=http://x/", "did you mean PIP_INDEX_URL?"),
        ("http://user:secret@host/", "is no setting"),
        ("PIP_INDEX_URL=pypi.lab/simple", "must be an address"),
        ("PIP_INDEX_URL=http:///simple", "must be an address"),
        ("HTTP_PROXY=proxy.lab:3128", "must be an address"),
        ("NPM_REGISTRY=file:///etc", "must be an address"),
        ('PIP_INDEX_URL="http://x/"', "no value needs quotes"),
        ("PIP_INDEX_URL=http://u:se$cret@x/", "write it as %24"),
        ("PIP_INDEX_URL=http://u:s'ecret@x/", "write it as %27"),
        ("PIP_INDEX_URL=http://x/$(touch /tmp/x)", "cannot have the character"),
        ("PIP_INDEX_URL=http://x/`touch /tmp/x`", "cannot have the character"),
        ("PIP_INDEX_URL=http://x/\\", "cannot have the character"),
        ("DEBIAN_MIRROR=http://x/;rm", "cannot have the character"),
        ("NPM_REGISTRY=http://x/#", "cannot have the character"),
        ("NPM_REGISTRY=http://ü/", "cannot have the character"),
        ("CA_FILE=company.pem", "must be the absolute path"),
        ("CA_FILE=/nowhere/company.pem", "No such file"),
        ("CA_FILE=/etc/passwd", "without certificates"),
        ("APT_KEYRING=/etc/passwd", "ends in .gpg"),
        ("REGISTRY_MIRRORS=docker.io", "must be pairs REGISTRY=MIRROR"),
        ("REGISTRY_MIRRORS=docker.io=http://u:secret@m", "cannot hold credentials"),
        ("GIT_REWRITES=https://github.com/", "must be pairs FROM=TO"),
        ("GIT_REWRITES=https://github.com/=ssh://x", "must be an address"),
        ("NO_PROXY=.lab", "has no effect without"),
        ("TIME_ZONE=Shanghai", "must be the name of a time zone, such as Asia/Shanghai"),
        ("TIME_ZONE=../../etc/passwd", "must be the name of a time zone"),
        ("LANGUAGE=Chinese", "must be a language with UTF-8"),
        ("LANGUAGE=zh_CN.GBK", "must be a language with UTF-8"),
    ],
)
def test_faults_say_where_and_what_and_never_a_secret(tmp_path: Path, line: str, said: str):
    file = write(tmp_path, f"# a remark\n\n{line}\n")
    found = read_site_file(file)
    assert found.site == Site()
    [fault] = found.faults
    assert str(fault).startswith(f"{file}:3: ")
    assert said in str(fault)
    assert "secret" not in str(fault)
    _, _, faults = by_shell(file)
    assert all(text.startswith(f"{file}:3: ") and "secret" not in text for text in faults)


def test_all_faults_are_listed(tmp_path: Path):
    file = write(tmp_path, "A=1\nHTTP_PROXY=http://p\nHTTP_PROXY=http://q\n")
    with pytest.raises(InvalidSite) as raised:
        load_site({"MLABHUB_SITE": str(file)})
    assert [fault.line for fault in raised.value.faults] == [1, 3]
    assert "set twice, first in line 2" in str(raised.value)
    assert len(by_shell(file)[2]) == 2


def test_a_file_that_is_named_must_be_there(tmp_path: Path):
    assert find_site_file({"MLABHUB_SITE": "/nowhere/site.conf"}) == Path("/nowhere/site.conf")
    with pytest.raises(InvalidSite, match=r"/nowhere/site\.conf:1: cannot be read"):
        load_site({"MLABHUB_SITE": "/nowhere/site.conf"})
    assert by_shell(tmp_path / "none")[0] is False
    assert by_shell(tmp_path)[0] is False
    assert read_site_file(tmp_path).faults
    assert load_site({"MLABHUB_SITE": os.devnull}) == Site()


def test_shell_finds_the_same_file(tmp_path: Path):
    system, own = tmp_path / "system.conf", tmp_path / "site.conf"

    def found(named: str = "") -> str:
        script = f"CHECKOUT={tmp_path} SITE_SYSTEM_FILE={system} MLABHUB_SITE={named}; . {CHECKOUT}/setup/lib/site.sh"
        return subprocess.run(["bash", "-c", f"{script}; site_file"], capture_output=True, text=True, check=True).stdout

    assert found() == ""
    own.touch()
    assert found() == f"{own}\n"
    system.symlink_to(tmp_path / "gone")
    assert found() == f"{system}\n"
    assert found("/named") == "/named\n"


EVIL = st.text(alphabet=st.sampled_from("$`'\"\\;|&<>(){}!#\t*? aZ/.:=@\n\r\x00ü"), max_size=30)


@given(key=st.sampled_from(list(KEYS)), value=EVIL)
def test_what_is_taken_holds_nothing_that_a_shell_or_a_client_expands(key: str, value: str):
    found = parse(Path("site.conf"), f"{key}=http://h/{value}")
    texts = [str(value) for value in vars(found.site).values()]
    assert not any(character in text for text in texts for character in '$`"\\;|&<>{}!#\t\n\r\x00ü*?')


def test_the_shell_executes_nothing(tmp_path: Path):
    mark = tmp_path / "executed"
    evil = [f"$(touch {mark})", f"`touch {mark}`", f"x;touch {mark}", f"'$(touch {mark})", f'"$(touch {mark})"']
    names = ("PIP_INDEX_URL", "NO_PROXY", "CA_FILE", f"a[$(touch {mark})]", "SITE_KEYS", "PATH", "a b")
    for number, name in enumerate(names):
        for value in evil:
            file = write(tmp_path, f"{name}=http://h/{value}\n{name}={value}\n{value}\n")
            taken, values, faults = by_shell(file)
            assert (taken, values) == (False, {}), number
            assert len(faults) == 3
    assert not mark.exists()


@settings(max_examples=25)
@given(
    lines=st.lists(
        st.tuples(
            st.sampled_from([*KEYS, "#x", "OTHER", ""]),
            st.sampled_from(["=", " = ", ""]),
            st.sampled_from(
                [
                    "",
                    "http://h/x",
                    "http://u:p%24@h:80/x/",
                    "a b,c",
                    "/etc/passwd",
                    "é",
                    "x'",
                    "[::1]",
                    "http://[::1]:9/",
                ]
            ),
        ),
        max_size=6,
    )
)
def test_shell_and_python_agree(lines: list[tuple[str, str, str]], tmp_path_factory: pytest.TempPathFactory):
    text = "\n".join(map("".join, lines))
    file = write(tmp_path_factory.mktemp("site"), text)
    found = read_site_file(file)
    taken, values, faults = by_shell(file)
    assert not (found.faults == () and not taken), "the shell refuses what Python takes"
    of_shell = {int(fault.removeprefix(f"{file}:").split(":")[0]) for fault in faults}
    assert of_shell <= {fault.line for fault in found.faults}
    if not found.faults:
        assert {name for name, value in values.items() if value} == {
            name for name in KEYS if getattr(found.site, name.lower())
        }


def test_credentials_are_never_shown():
    site = Site(http_proxy="http://u:secret@p:1", git_rewrites=(("https://g/", "https://t:secret@h/"),))
    assert "secret" not in repr(site)
    assert shown(site.http_proxy) == "http://***@p:1"
    assert shown(("http://a:secret@h/x", "http://b")) == "http://***@h/x http://b"


def test_the_shell_knows_the_same_keys():
    text = (CHECKOUT / "setup" / "lib" / "site.sh").read_text()
    listed = text.split('SITE_KEYS="', 1)[1].split('"', 1)[0].replace("\\\n", "").split()
    assert listed == list(KEYS)
