"""Events as authors and senders name them: a plain name, or a name with a type that both ends check against. No I/O."""

from __future__ import annotations

from typing import Any, Final, Generic, TypeVar, cast

from actors.errors import Failure, InvalidArguments, InvalidOption, PayloadTooLarge
from actors.options import check_name
from actors.payload import NotEncodable, checked_codec, pack
from actors.wording import shown

T = TypeVar("T")

NO_VALUE: Final = b"\xc0"
"""None, encoded: the value of an event that was sent without one."""


class EventType(Generic[T]):
    """A name of events and the type of their values; made by ``manager.event``."""

    __slots__ = ("codec", "name")

    def __init__(self, name: str, type: Any = Any) -> None:  # noqa: A002, ANN401 - the word for it; a class or generic
        """``type``: a class, or a generic such as ``list[Model]``. Raises InvalidOption."""
        self.name: Final = check_name("name", name)
        self.codec: Final = checked_codec(type)

    def __repr__(self) -> str:
        """Name the event."""
        return f"<event {self.name!r}>"


def name_of(event: EventType[Any] | str) -> str:
    """Return the checked name of an event. Raises InvalidOption."""
    return event.name if isinstance(event, EventType) else check_name("name", event)


def encode_event(event: EventType[Any] | str, value: object, *, bytes_max: int) -> bytes:
    """Validate and encode an event's value.

    Raises:
        InvalidArguments: it does not fit the event's type, or has no encoding.
        PayloadTooLarge: it is larger than ``bytes_max``.
    """
    name = name_of(event)
    try:
        typed = isinstance(event, EventType) and event.codec.annotation is not Any
        data = pack(cast("EventType[Any]", event).codec.to_plain(value) if typed else value)
    except NotEncodable as error:
        raise InvalidArguments(f"the value sent as event {shown(name)} does not fit: {error}") from None
    if len(data) > bytes_max:
        raise PayloadTooLarge(f"the value of the event {name!r}", size=len(data), limit=bytes_max)
    return data


def encode_error(error: str | BaseException) -> bytes:
    """Encode the error that an event is sent with: what the wait for it raises. Raises InvalidOption."""
    if isinstance(error, BaseException):
        return Failure.from_exception(error, kind="EventFailed").encode()
    if not isinstance(cast("object", error), str) or not error:
        raise InvalidOption(f"error={shown(error)}: give a text that says what went wrong, or an exception")
    return Failure("EventFailed", "EventFailed", error).encode()
