"""The hints that docs/hints.md lists: each with values that come back equal, or refused.

A row is the text of a hint and the texts of its values; a row without values is refused where the
task is declared. Texts are evaluated in this module.
"""

# ruff: noqa: F401 - the texts of the rows name what is imported

from __future__ import annotations

import collections
import collections.abc as cabc
import dataclasses
import enum
import ipaddress
import pathlib
import re
import typing
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from collections.abc import Set as AbstractSet
from datetime import UTC, date, datetime, time, timedelta, timezone
from decimal import Decimal
from fractions import Fraction
from typing import (
    Annotated,
    Any,
    Generic,
    Literal,
    LiteralString,
    NamedTuple,
    NewType,
    NotRequired,
    Optional,
    Protocol,
    TypedDict,
    TypeVar,
    Union,
)
from uuid import UUID
from zoneinfo import ZoneInfo

import msgspec
import pydantic
import pydantic.dataclasses
from pydantic import BaseModel, ConfigDict, Field, SecretStr
from pydantic.alias_generators import to_camel

T = TypeVar("T")
Bound = TypeVar("Bound", bound=date)
UserId = NewType("UserId", int)
Born = NewType("Born", date)


# ---------------------------------------------------------------- enums


class Colour(enum.Enum):
    RED = "red"
    BLUE = "blue"


class Level(enum.IntEnum):
    LOW = 1
    HIGH = 2


class Size(enum.StrEnum):
    S = "s"


class Mixed(str, enum.Enum):  # noqa: UP042 - the older form is what is tried
    A = "a"


class Ratio(enum.Enum):
    HALF = 0.5


class Place(enum.Enum):
    HERE = (1, 2)


class Either(enum.Enum):
    NUMBER = 1
    TEXT = "x"


class Right(enum.Flag):
    READ = 1
    WRITE = 2


class Handler(enum.Enum):
    PRINT = (print,)


class Moment(enum.Enum):
    NOON = "2026-01-01"


# ---------------------------------------------------------------- classes of fields


@dataclasses.dataclass
class Address:
    street: str
    since: date


@dataclasses.dataclass
class Home(Address):
    rooms: int = 3


@dataclasses.dataclass
class Cat:
    lives: int


@dataclasses.dataclass
class Dog:
    breed: str


@dataclasses.dataclass
class Puppy:
    breed: str


@dataclasses.dataclass
class Owner:
    pet: Cat | Dog
    when: datetime | date | None = None


@dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
class Frozen:
    day: date
    tags: frozenset[str] = frozenset()


@dataclasses.dataclass
class Total:
    price: Decimal
    seen: int = dataclasses.field(init=False, default=0)


@dataclasses.dataclass
class OwnerSince:
    pet: Cat | Dog
    seen: int = dataclasses.field(init=False, default=0)


@dataclasses.dataclass
class Normalised:
    name: str

    def __post_init__(self) -> None:
        self.name = self.name.strip().lower()


@dataclasses.dataclass
class Raised:
    price: int

    def __post_init__(self) -> None:
        self.price += 1


@dataclasses.dataclass(eq=False)
class Unequal:
    day: date


@dataclasses.dataclass
class Initial:
    size: int
    factor: dataclasses.InitVar[int]


@dataclasses.dataclass
class Tree:
    day: date
    children: list[Tree]


@dataclasses.dataclass
class Branch:
    leaf: Cat | Dog
    children: list[Branch]


@dataclasses.dataclass
class Box(Generic[T]):
    content: T


@dataclasses.dataclass
class Job:
    run: Callable[[], None]


@dataclasses.dataclass
class Paid:
    kind: Literal["paid"]
    amount: int


@dataclasses.dataclass
class Free:
    kind: Literal["free"]
    amount: int


class Point(NamedTuple):
    x: float
    day: date | None = None


class Pets(NamedTuple):
    first: Cat | Dog
    second: int


class Movie(TypedDict):
    title: str
    year: NotRequired[int]


class Show(TypedDict, total=False):
    day: date


class Zoo(TypedDict):
    pet: Cat | Dog


class Wire(msgspec.Struct):
    x: int
    at: datetime


class Tagged(msgspec.Struct, tag="tagged"):
    x: int


class Other(msgspec.Struct, tag="other"):
    x: int


class Packed(msgspec.Struct, array_like=True):
    x: int
    day: date


class Renamed(msgspec.Struct, rename="camel", omit_defaults=True):
    first_name: str = ""


class Kennel(msgspec.Struct):
    pet: Cat | Dog


# ---------------------------------------------------------------- pydantic


class Order(BaseModel):
    number: int
    total: Decimal
    address: Address | None = None


class BigOrder(Order):
    pages: int = 2


class Alias(BaseModel):
    number: int = Field(alias="orderNumber")


class Validation(BaseModel):
    number: int = Field(validation_alias=pydantic.AliasChoices("n", "no"))


class Serialised(BaseModel):
    number: int = Field(serialization_alias="No")


class Deep(BaseModel):
    number: int = Field(validation_alias=pydantic.AliasPath("a", 0))


class Camel(BaseModel):
    model_config = ConfigDict(alias_generator=to_camel)
    first_name: str


class Swapped(BaseModel):
    one: int = Field(alias="two")
    two: int = Field(alias="one")


class Written(BaseModel):
    when: datetime

    @pydantic.field_serializer("when")
    def _write(self, when: datetime) -> str:
        return when.strftime("%d.%m.%Y")


class Excluded(BaseModel):
    number: int
    secret: str = Field(default="", exclude=True)


class Strict(BaseModel):
    model_config = ConfigDict(strict=True)
    when: datetime
    key: UUID
    tags: set[int]


class Computed(BaseModel):
    model_config = ConfigDict(extra="forbid")
    side: int

    @pydantic.computed_field
    @property
    def area(self) -> int:
        return self.side**2


class Extra(BaseModel):
    model_config = ConfigDict(extra="allow")
    number: int


class Login(BaseModel):
    name: str
    password: SecretStr


class Logins(BaseModel):
    logins: list[Login]


class Score(BaseModel):
    value: float | None = None


class Hashed(BaseModel):
    text: str

    @pydantic.field_validator("text")
    @classmethod
    def _hash(cls, text: str) -> str:
        return f"<{text}>"


class Private(BaseModel):
    number: int
    _seen: int = 0


class Meow(BaseModel):
    kind: Literal["cat"] = "cat"
    lives: int


class Bark(BaseModel):
    kind: Literal["dog"] = "dog"
    lives: int


class Whoever(BaseModel):
    pet: Annotated[Meow | Bark, Field(discriminator="kind")]


class Wide(BaseModel):
    number: int
    text: str = ""


class Narrow(BaseModel):
    number: int


class Numbers(pydantic.RootModel[list[int]]):
    pass


class Page(BaseModel, Generic[T]):
    items: list[T]


class Bytes(BaseModel):
    data: bytes


class Base64(BaseModel):
    model_config = ConfigDict(ser_json_bytes="base64", val_json_bytes="base64")
    data: bytes


class Reference(BaseModel):
    parent: Reference | None = None
    at: timedelta = timedelta(0)


@pydantic.dataclasses.dataclass
class Checked:
    number: int
    day: date


class Session(Protocol):
    def commit(self) -> None: ...


class Opaque:
    pass


class Name(str):
    __slots__ = ()


class Count(int):
    pass


def seen(total: Total, times: int) -> Total:
    total.seen = times
    return total


def since(owner: OwnerSince, times: int) -> OwnerSince:
    owner.seen = times
    return owner


def private(number: int, times: int) -> Private:
    model = Private(number=number)
    model._seen = times
    return model


LISBON = ZoneInfo("Europe/Lisbon")
NOW = datetime(2026, 3, 29, 1, 30, 5, 7, tzinfo=UTC)
DAY = date(2026, 2, 28)
KEY = UUID("12345678-1234-5678-1234-567812345678")

ROWS: list[tuple[str, ...]] = [
    # ---- scalars
    ("Any", "{'x': [1, None]}"),
    ("object", "[1]"),
    ("None", "None"),
    ("bool", "True"),
    ("int", "5", "2**62", "Count(3)", "Level.LOW"),
    ("float", "1.5", "2"),
    ("str", "'x'", "Name('x')", "Size.S"),
    ("LiteralString", "'x'"),
    ("bytes", r"b'\x00\xff'"),
    ("bytearray", "bytearray(b'x')"),
    ("memoryview",),
    ("complex",),
    ("Decimal", "Decimal('1.10')", "Decimal('NaN')", "Decimal('-1E+9')"),
    ("Fraction",),
    ("UUID", "KEY"),
    (
        "datetime",
        "NOW",
        "datetime(2026, 10, 25, 1, 30, fold=1, tzinfo=LISBON)",
        "datetime(1, 1, 1)",
    ),
    ("date", "DAY"),
    ("time", "time(1, 2, 3, 4)", "time(1, 2, tzinfo=UTC)"),
    ("timedelta", "timedelta(days=-1, microseconds=1)", "timedelta.max"),
    ("timezone",),
    ("ZoneInfo",),
    ("pathlib.Path", "pathlib.Path('/srv/../a b')", "pathlib.Path()"),
    ("pathlib.Path | None", "pathlib.Path('x')", "None"),
    ("pathlib.Path | str",),
    ("pathlib.PurePath",),
    ("dict[pathlib.Path, int]",),
    ("list[pathlib.Path]", "[pathlib.Path('x')]"),
    ("re.Pattern[str]",),
    ("ipaddress.IPv4Address", "ipaddress.IPv4Address('192.0.2.1')"),
    ("ipaddress.IPv6Address", "ipaddress.IPv6Address('fe80::1%eth0')"),
    ("ipaddress.IPv4Interface", "ipaddress.IPv4Interface('192.0.2.1/24')"),
    ("ipaddress.IPv6Network", "ipaddress.IPv6Network('2001:db8::/32')"),
    ("ipaddress.IPv4Address | ipaddress.IPv6Address",),
    ("range",),
    ("slice",),
    ("type",),
    ("type[int]",),
    ("Callable",),
    ("Callable[[int], str]",),
    ("typing.Never",),
    ("typing.NoReturn",),
    ("Session",),
    ("Opaque",),
    ("Exception",),
    ("Name", "Name('x')"),
    ("Count", "Count(3)"),
    # ---- collections
    ("list", "[1, 'x']"),
    ("list[int]", "[1, 2]", "[]"),
    ("list[date]", "[DAY]"),
    ("list[list[UUID]]", "[[KEY]]"),
    ("typing.List[int]", "[1]"),
    ("list[Any]", "[1, None]"),
    ("list[Opaque]",),
    ("set", "{1, 'x'}"),
    ("set[int]", "{1, 2}"),
    ("set[date]", "{DAY}"),
    ("frozenset[str]", "frozenset('ab')"),
    ("tuple", "(1, 'x')"),
    ("tuple[int, str]", "(1, 'x')"),
    ("tuple[date, ...]", "(DAY, DAY)", "()"),
    ("tuple[()]", "()"),
    ("tuple[int, *tuple[str, ...]]",),
    ("typing.Tuple[int, date]", "(1, DAY)"),
    ("tuple[Cat | Dog, int]", "(Dog('x'), 1)"),
    ("dict", "{'a': 1}"),
    ("dict[str, int]", "{'a': 1}"),
    ("dict[str, Any]", "{'a': [1]}"),
    ("dict[int, str]", "{1: 'x'}"),
    ("dict[float, int]", "{1.5: 1}"),
    ("dict[UUID, date]", "{KEY: DAY}"),
    ("dict[date, int]", "{DAY: 1}"),
    ("dict[datetime, int]", "{NOW: 1}"),
    ("dict[Decimal, int]", "{Decimal('1.10'): 1}"),
    ("dict[bytes, int]", "{b'x': 1}"),
    ("dict[Colour, int]", "{Colour.RED: 1}"),
    ("dict[Level, int]", "{Level.LOW: 1}"),
    ("dict[Literal['a', 'b'], int]", "{'a': 1}"),
    ("dict[UserId, int]", "{1: 1}"),
    ("dict[str, list[date | None]]", "{'a': [DAY, None]}"),
    ("dict[date, Cat | Dog]", "{DAY: Cat(9)}"),
    ("dict[bool, int]",),
    ("dict[tuple[int, int], int]",),
    ("dict[int | str, int]",),
    ("dict[Ratio, int]",),
    ("dict[str | None, int]",),
    ("Sequence[int]", "[1]", "(1, 2)"),
    ("Sequence[date]", "[DAY]", "(DAY,)"),
    ("cabc.MutableSequence[int]", "[1]"),
    ("cabc.Collection[UUID]", "[KEY]"),
    ("Iterable[date]", "[DAY]"),
    ("AbstractSet[int]", "{1}"),
    ("cabc.MutableSet[date]", "{DAY}"),
    ("Mapping[str, date]", "{'a': DAY}"),
    ("cabc.MutableMapping[int, int]", "{1: 2}"),
    ("typing.Mapping[str, int]", "{'a': 1}"),
    ("Iterator[int]",),
    ("cabc.Generator[int, None, None]",),
    ("cabc.AsyncIterator[int]",),
    ("cabc.Hashable",),
    ("collections.deque[int]",),
    ("collections.OrderedDict[str, int]",),
    ("collections.defaultdict[str, int]",),
    ("collections.Counter[str]",),
    # ---- names and notes
    ("Literal['a', 'b']", "'b'"),
    ("Literal[1, 'x', None, True]", "1", "True", "None"),
    ("Literal[Colour.RED]", "Colour.RED"),
    ("Literal[b'x', 'y']", "b'x'", "'y'"),
    ("Annotated[int, 'note']", "5"),
    ("Annotated[int, msgspec.Meta(gt=0)]", "5"),
    ("Annotated[date, {'unhashable': 1}]", "DAY"),
    ("pydantic.PositiveInt", "5"),
    ("UserId", "UserId(5)"),
    ("Born", "DAY"),
    ("typing.Final[int]", "5"),
    ("T", "5"),
    ("Bound", "DAY"),
    ("typing.AnyStr",),
    # ---- enums
    ("Colour", "Colour.RED"),
    ("Level", "Level.HIGH"),
    ("Size", "Size.S"),
    ("Mixed", "Mixed.A"),
    ("Ratio", "Ratio.HALF"),
    ("Place", "Place.HERE"),
    ("Either", "Either.NUMBER", "Either.TEXT"),
    ("Right", "Right.READ | Right.WRITE"),
    ("Handler",),
    ("list[Colour]", "[Colour.RED]"),
    # ---- unions
    ("int | None", "5", "None"),
    ("Optional[date]", "DAY", "None"),
    ("int | str", "'x'", "1"),
    ("int | float", "1", "1.5"),
    ("bool | int", "True", "1"),
    ("Union[int, date]", "1", "DAY"),
    ("datetime | date", "NOW", "DAY", "datetime(2026, 1, 1)"),
    ("date | datetime | None", "NOW", "DAY", "None"),
    ("datetime | date | time | timedelta", "time(1, 2)", "timedelta(1)", "NOW", "DAY"),
    ("UUID | date", "KEY", "DAY"),
    ("Decimal | float", "Decimal('1.5')", "1.5"),
    ("Decimal | UUID", "Decimal('1.5')", "KEY"),
    ("datetime | str",),
    ("UUID | str",),
    ("Decimal | str",),
    ("bytes | str",),
    ("Colour | str",),
    ("Level | int",),
    ("Colour | Size", "Colour.RED", "Size.S"),
    ("Colour | int", "Colour.RED", "1"),
    ("Colour | date", "Colour.RED", "DAY"),
    ("Moment | date",),
    ("Mixed | Literal['a']",),
    ("list[int] | list[str]", "[1]", "['x']"),
    ("list[int] | dict[str, int]", "[1]", "{'a': 1}"),
    ("list[date] | date", "[DAY]", "DAY"),
    ("list[int] | set[int]",),
    ("list[date] | list[UUID]",),
    ("tuple[int, int] | Point",),
    ("Cat | Dog", "Cat(9)", "Dog('x')"),
    ("Cat | Dog | None", "Cat(9)", "None"),
    ("list[Cat | Dog]", "[Cat(9), Dog('x')]"),
    ("Cat | int", "Cat(9)", "1"),
    ("Address | Home", "Address('a', DAY)", "Home('a', DAY)"),
    ("Home | Address", "Address('a', DAY)", "Home('a', DAY)"),
    ("Dog | Puppy",),
    ("Cat | dict[str, int]",),
    ("Paid | Free", "Paid('paid', 1)", "Free('free', 1)"),
    ("Cat | Movie", "Cat(9)", "{'title': 'x'}"),
    ("Meow | Bark", "Meow(lives=9)", "Bark(lives=1)"),
    ("Annotated[Meow | Bark, Field(discriminator='kind')]", "Meow(lives=9)", "Bark(lives=1)"),
    ("Wide | Narrow", "Wide(number=1)", "Narrow(number=1)"),
    ("Narrow | Order | int", "Narrow(number=1)", "Order(number=1, total=2)", "7"),
    ("Narrow | Count", "Narrow(number=1)", "Count(1)"),
    ("Order | str", "Order(number=1, total=2)", "'x'"),
    ("Extra | Narrow",),
    ("Tagged | Other", "Tagged(1)", "Other(1)"),
    ("Wire | Cat", "Wire(1, NOW)", "Cat(1)"),
    ("Opaque | None",),
    # ---- classes of fields
    ("Address", "Address('a', DAY)"),
    ("Owner", "Owner(Cat(9), DAY)", "Owner(Dog('x'), NOW)", "Owner(Dog('x'))"),
    ("list[Owner]", "[Owner(Cat(9))]"),
    ("Frozen", "Frozen(day=DAY, tags=frozenset({'a'}))"),
    ("Total", "seen(Total(Decimal('1.1')), 5)"),
    ("OwnerSince", "since(OwnerSince(Cat(9)), 5)"),
    ("Normalised", "Normalised(' X ')"),
    ("Unequal", "Unequal(DAY)"),
    ("Initial",),
    ("Tree", "Tree(DAY, [Tree(DAY, [])])"),
    ("Branch", "Branch(Cat(9), [Branch(Dog('x'), [])])"),
    ("Box[int]", "Box(1)"),
    ("Box[date]", "Box(DAY)"),
    ("Box[Cat | Dog]", "Box(Dog('x'))"),
    ("Job",),
    ("Point", "Point(1.5, DAY)", "Point(1.5)"),
    ("Pets", "Pets(Cat(9), 1)"),
    ("Movie", "{'title': 'x'}", "{'title': 'x', 'year': 1999}"),
    ("Show", "{'day': DAY}", "{}"),
    ("Zoo", "{'pet': Dog('x')}"),
    ("Wire", "Wire(1, NOW)"),
    ("Packed", "Packed(1, DAY)"),
    ("Renamed", "Renamed('x')", "Renamed()"),
    ("Kennel",),
    ("Checked", "Checked(1, DAY)"),
    # ---- pydantic
    ("Order", "Order(number=1, total='9.99', address=Address('a', DAY))"),
    ("list[Order]", "[Order(number=1, total=2)]"),
    ("dict[str, Order | None]", "{'a': Order(number=1, total=2), 'b': None}"),
    ("Alias", "Alias(orderNumber=1)"),
    ("Validation", "Validation(n=1)"),
    ("Serialised", "Serialised(number=1)"),
    ("Deep", "Deep(a=[1])"),
    ("Camel", "Camel(firstName='x')"),
    ("Strict", "Strict(when=NOW, key=KEY, tags={1})"),
    ("Computed", "Computed(side=2)"),
    ("Extra", "Extra(number=1, more=[1])"),
    ("Excluded", "Excluded(number=1)"),
    ("Score", "Score(value=1.5)", "Score()"),
    ("Whoever", "Whoever(pet=Bark(lives=1))"),
    ("Numbers", "Numbers([1, 2])"),
    ("Page[date]", "Page[date](items=[DAY])"),
    ("Private", "Private(number=1)"),
    ("Bytes", "Bytes(data=b'x')"),
    ("Base64", r"Base64(data=b'\xff')"),
    ("Reference", "Reference(parent=Reference(), at=timedelta(1))"),
    ("pydantic.HttpUrl", "pydantic.HttpUrl('http://a/b')"),
    ("pydantic.AnyUrl | None", "pydantic.AnyUrl('redis://a')", "None"),
    ("Login",),
    ("Logins",),
    ("SecretStr",),
    ("list[SecretStr]",),
]

AT_THE_PRODUCER: list[tuple[str, str, str]] = [
    ("Written", "Written(when=NOW)", "does not come back from JSON"),
    ("Excluded", "Excluded(number=1, secret='x')", "its field 'secret' is another afterwards"),
    ("Hashed", "Hashed(text='x')", "its field 'text' is another afterwards"),
    ("Private", "private(1, 2)", "its field '_seen' is another afterwards"),
    ("Swapped", "Swapped(one=1, two=2)", "is another afterwards"),
    ("Score", "Score(value=float('nan'))", "value: expected a finite number, got nan"),
    ("Bytes", r"Bytes(data=b'\xff')", "does not come back from JSON"),
    ("Order", "BigOrder(number=1, total=2)", "a BigOrder that would arrive as Order("),
    ("Order", "{'number': 'x'}", "total"),
    ("Address", "Home('a', DAY)", "a Home that would arrive as Address("),
    ("Raised", "Raised(1)", "a Raised that would arrive as Raised(price=3)"),
    ("date", "NOW", "Invalid RFC3339 encoded date"),
    ("datetime", "datetime(1900, 1, 1, tzinfo=LISBON)", "a datetime that would arrive as"),
    ("datetime", "time(1, 2)", "Invalid RFC3339 encoded datetime"),
    ("set", "{(1, 2)}", "hashable"),  # msgspec says it in another way since 0.23
    ("list[date]", "(DAY,)", "a tuple that would arrive as [datetime.date(2026, 2, 28)]"),
    ("datetime | date", "'tomorrow'", "got what is none of them"),
]


def evaluated(text: str) -> Any:
    """A hint or a value of a row."""
    return eval(text, globals())
