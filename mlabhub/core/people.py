"""A new person: what an account needs, read from a form, a command line or a CSV file; whatever is wrong in words.

Guarantees: pure but for the drawing of passwords; every fault of a file is told at its line, and one line's fault
leaves the others as they are; what is valid here may still be refused by what only the hub knows.
"""

from __future__ import annotations

import csv
import io
import secrets
import string
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, replace

from mlabhub.core.names import check_user_name
from mlabhub.core.quote import quote, quote_all
from mlabhub.core.units import is_amount, is_resource
from mlabhub.errors import InvalidLaunch, MLabError
from mlabhub.messages import N_, Message

BCRYPT_BYTES = 72
"""bcrypt reads no further; its current release refuses more."""
LEAST_PASSWORD = 8
MOST_GROUP = 255
MOST_GROUPS = 50
MOST_LINES = 1000
MOST_CSV = 512 * 1024
COLUMNS = ("name", "groups", "quota", "profile", "admin")
_ALPHABET = "".join(one for one in string.ascii_letters + string.digits if one not in "0O1lI")
_YES, _NO = frozenset({"yes", "true", "1", "x"}), frozenset({"no", "false", "0", ""})


class InvalidPerson(InvalidLaunch):
    """Something about a new account cannot be."""

    code = "invalid_person"


@dataclass(frozen=True)
class NewPerson:
    """Whom an account is opened for. ``quota`` is their own cap, None without a limit; ``profile`` starts a server."""

    name: str
    groups: tuple[str, ...] = ()
    quota: Mapping[str, float | None] = field(default_factory=dict, hash=False)
    profile: str = ""
    admin: bool = False


@dataclass(frozen=True)
class Line:
    """A line of a CSV file, by its number in the file: a person, or what is wrong with it."""

    number: int
    name: str
    person: NewPerson | None = None
    fault: Message | None = None


def make_password() -> str:
    """Return a password that can be read from paper: 16 letters and digits without look-alikes, 92 bits."""
    drawn = "".join(secrets.choice(_ALPHABET) for _ in range(16))
    return "-".join(drawn[start : start + 4] for start in range(0, 16, 4))


def fault_of_password(password: str) -> Message | None:
    """Return why a password cannot be, if so."""
    length = len(password.encode("utf-8", "surrogatepass"))
    if not LEAST_PASSWORD <= length <= BCRYPT_BYTES:
        text = N_("The password has {length} bytes; {least} to {most} are possible.")
        return Message.of(text, length=length, least=LEAST_PASSWORD, most=BCRYPT_BYTES)
    if not password.isprintable():
        return Message(N_("The password has characters that cannot be typed; leave them out."))
    return None


def read_person(
    name: str,
    groups: Iterable[str] = (),
    quota: Mapping[str, float | None] | str = "",
    profile: str = "",
    *,
    admin: bool = False,
) -> NewPerson:
    """Return a new person. Raises `InvalidPerson`, or `InvalidLaunch` for a name that cannot be."""
    name = check_account_name(name)
    return NewPerson(
        name=name,
        groups=read_groups(groups),
        quota=read_quota(quota) if isinstance(quota, str) else quota,
        profile=profile.strip(),
        admin=admin,
    )


def check_account_name(name: str) -> str:
    """Return the name as it is at the hub, in lower case. Raises `InvalidPerson` or `InvalidLaunch`."""
    name = name.lower()
    check_user_name(name)
    if set(name) & set(" ,"):
        text = N_("The user name {name} cannot be used: the hub's login takes no space and no comma.")
        raise InvalidPerson(Message.of(text, name=quote(name)), key="name")
    return name


def read_groups(names: Iterable[str]) -> tuple[str, ...]:
    """Return groups' names, each once. Raises `InvalidPerson` for one that could not be told from another on a page."""
    groups = tuple(dict.fromkeys(names))
    for name in groups:
        if not name.isprintable() or name != name.strip() or not 0 < len(name) <= MOST_GROUP:
            text = N_(
                "{name} cannot be a group's name; it has 1 to {most} characters that can be seen, and no space around "
                "them."
            )
            raise InvalidPerson(Message.of(text, name=quote(name), most=MOST_GROUP), key="groups")
    if len(groups) > MOST_GROUPS:
        text = N_("{count} groups are too many for one person; {most} are possible.")
        raise InvalidPerson(Message.of(text, count=len(groups), most=MOST_GROUPS), key="groups")
    return groups


def read_quota(text: str) -> Mapping[str, float | None]:
    """Return a cap as it is written, ``gpu=4 cpu=16``; ``none`` is no limit. Raises `InvalidPerson`."""
    quota: dict[str, float | None] = {}
    for part in text.replace(";", " ").replace(",", " ").split():
        resource, sign, amount = part.partition("=")
        value = _amount(amount) if sign and is_resource(resource) and resource not in quota else -1.0
        if value is not None and value < 0:
            told = N_(
                "{part} is no quota: write each resource once with its amount, such as gpu=4 or cpu=none; there are "
                "cpu, memory_gib, servers, gpu and gpu:TYPE."
            )
            raise InvalidPerson(Message.of(told, part=quote(part)), key="quota")
        quota[resource] = value
    return quota


def _amount(text: str) -> float | None:
    """Return an amount, None for no limit, -1 for what is none."""
    if text == "none":
        return None
    try:
        value = float(text)
    except ValueError:
        return -1.0
    return value if is_amount(value) else -1.0


def read_csv(data: bytes) -> tuple[Line, ...]:
    """Return the lines of a CSV file with a header: ``name``, and as one likes ``groups``, ``quota``, ``profile``,
    ``admin``. Groups are separated by semicolons; columns by commas, semicolons or tabs, as the header says.

    Raises `InvalidPerson` for what is no such file.
    """
    reader = csv.reader(io.StringIO(_text(data), newline=""), delimiter=_delimiter(data), strict=True)
    lines: list[Line] = []
    names: dict[str, int] = {}
    columns: list[str] = []
    begins = 1
    try:
        for cells in reader:
            number, begins = begins, reader.line_num + 1
            if not any(cell.strip() for cell in cells):
                continue
            if not columns:
                columns = _columns(cells)
                continue
            lines.append(_once(_line(number, columns, cells), names))
            if len(lines) > MOST_LINES:
                text = N_("The file has more than {most} people; divide it.")
                raise InvalidPerson(Message.of(text, most=MOST_LINES), key="csv")
    except csv.Error as error:
        text = N_("Line {line} cannot be read as CSV ({reason}).")
        raise InvalidPerson(Message.of(text, line=begins, reason=str(error)), key="csv") from None
    if not lines:
        raise InvalidPerson(N_("The file has nobody in it: below the header each line is one person."), key="csv")
    return tuple(lines)


def _text(data: bytes) -> str:
    if len(data) > MOST_CSV:
        text = N_("The file has {size} bytes; {most} are possible.")
        raise InvalidPerson(Message.of(text, size=len(data), most=MOST_CSV), key="csv")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidPerson(N_("The file is not UTF-8 text; save it as CSV UTF-8."), key="csv") from None


def _delimiter(data: bytes) -> str:
    header = next((line for line in data.splitlines() if line.strip()), b"").decode("utf-8", "replace")
    return max(",;\t", key=header.count)


def _columns(cells: list[str]) -> list[str]:
    columns = [cell.strip().lower() for cell in cells]
    unknown = [one for one in columns if one not in COLUMNS]
    if "name" not in columns or unknown or len(set(columns)) < len(columns):
        text = N_("The first line names the columns, each once: {columns}. It has {given}.")
        raise InvalidPerson(Message.of(text, columns=", ".join(COLUMNS), given=quote_all(cells)), key="csv")
    return columns


def _line(number: int, columns: list[str], cells: list[str]) -> Line:
    given = dict(zip(columns, (cell.strip() for cell in cells), strict=False))
    name = given.get("name", "")
    if len(cells) > len(columns):
        text = N_("It has {count} cells, and the header {columns}.")
        return Line(number, name, fault=Message.of(text, count=len(cells), columns=len(columns)))
    admin = given.get("admin", "").lower()
    if admin not in _YES | _NO:
        return Line(number, name, fault=Message.of(N_("admin is {value}; write yes or no."), value=quote(admin)))
    groups = [part.strip() for part in given.get("groups", "").split(";") if part.strip()]
    try:
        person = read_person(name, groups, given.get("quota", ""), given.get("profile", ""), admin=admin in _YES)
    except MLabError as error:
        return Line(number, name, fault=error.message)
    return Line(number, person.name, person)


def _once(line: Line, names: dict[str, int]) -> Line:
    """Refuse a name that stands in the file before; ``names`` are those so far, by line."""
    if line.person is None:
        return line
    first = names.setdefault(line.name, line.number)
    if first == line.number:
        return line
    fault = Message.of(N_("{name} stands in line {line} already."), name=quote(line.name), line=first)
    return replace(line, person=None, fault=fault)
