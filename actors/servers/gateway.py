"""Gateway: carries out what any service publishes by one XADD: starts, events, cancellations. Each takes effect once.

A message stays in its stream until it has been carried out, or set aside with the reason; what a worker had in hand
when it died another one takes up. What comes too early (an event before its instance) is tried again for a minute.
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, ClassVar, Final, assert_never

import structlog

from actors.errors import Misuse, UnknownDefinition
from actors.servers.letters import CancelLetter, EventLetter, Letter, Malformed, StartLetter, read_letter
from actors.servers.server import Server
from actors.starting import beginning
from kernel import Ended, Entry, Gone, LinkChanged, NotFound, Reader, first_entry, published_ms

if TYPE_CHECKING:
    from actors.servers.host import Host

log = structlog.get_logger(__name__)

AT_ONCE_MAX: Final = 64
"""Messages that are carried out at once."""
IN_HAND_MAX: Final = 1_000
"""Messages in hand, those included that wait to be tried again."""
PATIENCE_S: Final = 60.0
"""How long what came too early is tried again."""
AGAIN_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
"""Pauses between tries; the last stays."""
PASS_ON_S: Final = 1.0
"""How long a message is held whose workflow is not known here, before others get it."""


class _TooEarly(Exception):
    """It may be carried out later."""


class _Undeliverable(Exception):
    """It never will be."""


class Gateway(Server):
    """Reads ``ns:gateway``."""

    name: ClassVar[str] = "gateway"

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        super().__init__()
        self._host = host
        self._room = asyncio.Semaphore(AT_ONCE_MAX)
        self._in_hand = 0
        self._freed = asyncio.Event()
        self._met: dict[str, float] = {}
        """Only on virtual time: when each message was first met, by its first entry; an entry's id has real time."""

    async def run(self) -> None:
        """Read and carry out until cancelled."""
        host = self._host
        reader = Reader(
            host.store.space,
            group="gateways",
            consumer=host.incarnation,
            streams=(host.store.space.keys.gateway,),
            on_restored=host.auditor.soon,
        )
        try:
            while True:
                await self._until_free()
                for entry in await reader.wait():
                    self.take(entry)
                    for further in await reader.more(AT_ONCE_MAX):
                        self.take(further)
        finally:
            await reader.close()

    def take(self, entry: Entry) -> None:
        """Have a message carried out."""
        key = (entry.stream, entry.id)
        if not entry.fields or key in self._host.hands.entries:
            return
        self._host.hands.entries.add(key)
        self._in_hand += 1
        self._host.spawn(self._handle(entry, key), name="gateway")

    async def _until_free(self) -> None:
        while self._in_hand >= IN_HAND_MAX:
            self._freed.clear()
            await self._freed.wait()

    async def _handle(self, entry: Entry, key: tuple[str, bytes]) -> None:
        try:
            await self._take_to_its_end(entry)
        finally:
            self._host.hands.entries.discard(key)
            self._in_hand -= 1
            self._freed.set()

    async def _take_to_its_end(self, entry: Entry) -> None:
        host, gateway = self._host, self._host.store.gateway
        try:
            letter = read_letter(entry, value_bytes_max=host.registry.defaults.value_bytes_max)
            await self._carry_out_for_good(entry, letter)
        except (_Undeliverable, Malformed) as error:
            log.warning("a message to the gateway is set aside", entry=first_entry(entry), reason=str(error))
            await gateway.bury(entry, str(error))
        except UnknownDefinition:
            await asyncio.sleep(PASS_ON_S)
            await gateway.pass_on(entry)
            return
        self._met.pop(first_entry(entry), None)

    async def _carry_out_for_good(self, entry: Entry, letter: Letter) -> None:
        """Carry a message out and take it out; both once more if the server may have lost what was done in between."""
        store = self._host.store
        while True:
            since = store.space.stamp
            await self._try_again_and_again(entry, letter)
            try:
                await store.gateway.done(entry, since=since)
            except LinkChanged:
                continue
            return

    async def _try_again_and_again(self, entry: Entry, letter: Letter) -> None:
        """Carry a message out, once it can be.

        Raises:
            UnknownDefinition: others may have the code.
            _Undeliverable: it cannot be carried out, or could not for a minute.
        """
        tries = 0
        while True:
            try:
                async with self._room:
                    await self._carry_out(letter)
                return
            except (_TooEarly, UnknownDefinition) as error:
                if self._age_s(entry) >= PATIENCE_S:
                    raise _Undeliverable(f"{error} (tried for {PATIENCE_S:g} s)") from None
                if isinstance(error, UnknownDefinition):
                    raise
            await asyncio.sleep(AGAIN_S[min(tries, len(AGAIN_S) - 1)])
            tries += 1

    def _age_s(self, entry: Entry) -> float:
        """Return how old a message is: its entry's id tells, but on virtual time."""
        space = self._host.store.space
        if space.clock:
            now = asyncio.get_running_loop().time()
            return now - self._met.setdefault(first_entry(entry), now)
        return (space.now_ms() - published_ms(entry)) / 1000

    async def _carry_out(self, letter: Letter) -> None:
        match letter:
            case StartLetter():
                await self._start(letter)
            case EventLetter():
                await self._tell(letter)
            case CancelLetter():
                await self._cancel(letter)
            case _:
                assert_never(letter)

    async def _start(self, letter: StartLetter) -> None:
        host = self._host
        workflow = host.registry.get_workflow(letter.workflow)
        try:
            call = workflow.bind(*letter.args, **letter.kwargs)
        except Misuse as error:
            raise _Undeliverable(str(error)) from None
        except Exception as error:
            # The author's validators may raise anything, and would do so again.
            raise _Undeliverable(f"{type(error).__name__} while its arguments were checked: {error}") from error
        what = beginning(call, now_ms=host.now_ms(), retention_ms=host.retention_ms)
        what["message"] = f"gateway|{letter.entry}"
        try:
            await host.store.instances.create(f"wf/{letter.id}", **what)
        except Gone:
            return  # this very message started it, and it has been cleaned up since

    async def _tell(self, letter: EventLetter) -> None:
        try:
            await self._host.store.instances.append(
                f"wf/{letter.id}",
                kind=letter.kind,
                name=letter.name,
                payload=letter.payload,
                dedupe=letter.dedupe,
            )
        except Ended:
            raise _Undeliverable(f"workflow {letter.id!r} has ended: it takes no more events") from None
        except (NotFound, Gone):
            raise _not_there(letter.id) from None

    async def _cancel(self, letter: CancelLetter) -> None:
        instances, address = self._host.store.instances, f"wf/{letter.id}"
        try:
            if letter.cleanup and await instances.field(address, "", "status") != b"scheduled":
                dedupe = f"gateway|{letter.entry}"
                await instances.append(address, kind="cancel_requested", name="", payload=b"", dedupe=dedupe)
            else:
                await instances.cancel(address, payload=b"")
        except Ended:
            return
        except (NotFound, Gone):
            raise _not_there(letter.id) from None


def _not_there(workflow_id: str) -> _TooEarly:
    return _TooEarly(f"there is no workflow {workflow_id!r}")
