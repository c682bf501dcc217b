"""What any key has, whatever it holds: existence, type, time to live."""

from __future__ import annotations

from actors.transaction.core import TransactionCore
from actors.transaction.encoding import INTEGER_MIN, Duration, Key, Moment, encode_duration, encode_moment
from actors.transaction.errors import InvalidCommand
from actors.transaction.replies import as_bytes, as_integer


class KeyCommands(TransactionCore):
    """EXISTS to UNLINK."""

    async def exists(self, *names: Key) -> int:
        """Return how many of the keys exist; a key named twice counts twice."""
        return as_integer(await self._read("EXISTS", names))

    async def type(self, name: Key) -> bytes:
        """Return the type of a key: ``none``, ``string``, ``hash``, ``list``, ``set``, ``zset`` or ``stream``."""
        return as_bytes(await self._read("TYPE", [name]))

    async def ttl(self, name: Key) -> int:
        """Return the seconds a key has to live; -1: no end, -2: absent."""
        return as_integer(await self._read("TTL", [name]))

    async def pttl(self, name: Key) -> int:
        """Return the milliseconds a key has to live; -1: no end, -2: absent."""
        return as_integer(await self._read("PTTL", [name]))

    def delete(self, *names: Key) -> None:
        """Delete keys."""
        self._write("DEL", names, name="delete")

    def unlink(self, *names: Key) -> None:
        """Delete keys; Redis frees large values beside its other work."""
        self._write("UNLINK", names)

    def persist(self, name: Key) -> None:
        """Take a key's time to live away."""
        self._write("PERSIST", [name])

    def expire(
        self,
        name: Key,
        time: Duration,
        *,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> None:
        """Give a key a time to live in seconds; 0 or less deletes it. The conditions need Redis 7.

        Args:
            name: The key.
            time: Seconds, or a timedelta.
            nx: Only if it has none.
            xx: Only if it has one.
            gt: Only if that makes it longer.
            lt: Only if that makes it shorter.
        """
        seconds = encode_duration("expire", time, what="time", unit_ms=1000, least=INTEGER_MIN // 10_000)
        self._expire("EXPIRE", name, seconds, _conditions("expire", nx=nx, xx=xx, gt=gt, lt=lt))

    def pexpire(
        self,
        name: Key,
        time: Duration,
        *,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> None:
        """Give a key a time to live in milliseconds; else as `expire`."""
        milliseconds = encode_duration("pexpire", time, what="time", unit_ms=1, least=INTEGER_MIN // 10)
        self._expire("PEXPIRE", name, milliseconds, _conditions("pexpire", nx=nx, xx=xx, gt=gt, lt=lt))

    def expireat(
        self,
        name: Key,
        when: Moment,
        *,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> None:
        """Let a key live until a time in seconds since the epoch, or an aware datetime; else as `expire`."""
        moment = encode_moment("expireat", when, what="when", unit_ms=1000)
        self._write("EXPIREAT", [name], moment, *_conditions("expireat", nx=nx, xx=xx, gt=gt, lt=lt))

    def pexpireat(
        self,
        name: Key,
        when: Moment,
        *,
        nx: bool = False,
        xx: bool = False,
        gt: bool = False,
        lt: bool = False,
    ) -> None:
        """Let a key live until a time in milliseconds since the epoch, or an aware datetime; else as `expire`."""
        moment = encode_moment("pexpireat", when, what="when", unit_ms=1)
        self._write("PEXPIREAT", [name], moment, *_conditions("pexpireat", nx=nx, xx=xx, gt=gt, lt=lt))

    def _expire(self, command: str, name: Key, time: bytes, conditions: list[bytes]) -> None:
        if int(time) <= 0 and not conditions:
            # What Redis makes of it, written out: fakeredis would keep the key for the rest of the script.
            self._write("DEL", [name], name=command.lower())
        else:
            self._write(command, [name], time, *conditions)


def _conditions(command: str, *, nx: bool, xx: bool, gt: bool, lt: bool) -> list[bytes]:
    if (nx and (xx or gt or lt)) or (gt and lt):
        raise InvalidCommand(command, "nx goes with no other condition, and gt not with lt.")
    return [word for word, wanted in ((b"NX", nx), (b"XX", xx), (b"GT", gt), (b"LT", lt)) if wanted]
