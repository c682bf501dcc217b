"""Delivery: what a message means to its receiver. Each call may be repeated; a definite answer ends the message."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import structlog

from actors.errors import Failure
from actors.retrier import Completion
from actors.starting import ChildOptions, child_address, completion_address
from kernel import Asking, Gone, Held, Late, Message, Permit, Refused, draw_nonce, read_command

if TYPE_CHECKING:
    from actors.servers.host import Host
    from kernel import Command

log = structlog.get_logger(__name__)

DEADLINE_MS: Final = 10_000
"""A receiver refuses what arrives later, so that no delivery outlives a tombstone."""
_ENDED: Final = frozenset({b"completed", b"failed", b"canceled"})


class Delivery:
    """Delivers messages for a courier."""

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        self._host = host

    async def deliver(self, message: Message, *, since: int) -> bool:
        """Deliver a message; True: the answer is definite, the message may go.

        ``since``: the space's stamp before anything of it was looked up. Raises LinkChanged: look again, the server may
        have lost that the message was ever sent.
        """
        message = await self._host.store.outbox.carried(message)
        try:
            match message.what:
                case "create":
                    return await self._create(message, since)
                case "outcome":
                    await self._outcome(message)
                case "cancel":
                    await self._cancel(message)
                case "cleanup":
                    await self._cleanup(message)
                case "on_complete":
                    await self._call_on_complete(message, since)
                case "acquire" | "grant" | "free":
                    await self._tell_of_permit(message, since)
                case _:
                    log.error("a message of a newer version is left to newer workers", what=message.what)
                    return False
        except Late:
            return False
        except Refused:
            return True
        return True

    # ------------------------------------------------------------------------------------------------- children

    async def _create(self, message: Message, since: int) -> bool:
        """Start a child as its parent's journal says; nothing, if the parent has moved on."""
        store = self._host.store
        field = message.payload
        if not field or field.split(b"|", 3)[2] != message.token.encode():
            return True
        command = read_command(field)
        options = ChildOptions.decode(command.options)
        address = _child(message, command)
        if options.id and await self._is_leaving(address, message):
            return False
        retention_ms = options.retention_ms
        if retention_ms is None:
            retention = await store.instances.field(message.sender, "", "retention")
            retention_ms = int(retention) if retention else None
        try:
            await store.instances.create(
                address,
                name=command.target,
                arguments=command.arguments,
                message=_start_of(message),
                start_at_ms=command.due_ms,
                deadline_ms=self._host.now_ms() + DEADLINE_MS,
                since=since,
                timeout_ms=command.timeout_ms,
                retention_ms=retention_ms,
                fields={"parent": _waiter_of(message), **options.fields},
            )
        except Gone:
            await self._outcome_unknown(message)
        return True

    async def _is_leaving(self, address: str, message: Message) -> bool:
        """Tell whether an actor of that id is about to be deleted, so that its place must be waited for.

        A parent that was restarted asks for its child again under the same id; that the one of before goes first is
        said by an earlier message, which another courier may have in hand.
        """
        record = await self._host.store.instances.record(address)
        if record.get("status") not in _ENDED:
            return False
        if "doomed" in record:
            return True
        sender, _, start = record.get("message", b"").decode().partition("|")
        if sender != message.sender or f"{sender}|{start}" == _start_of(message):
            return False
        seq, _, token = start.partition("|")
        return await self._host.store.outbox.has_earlier(message, what="cleanup", seq=seq, token=token)

    async def _outcome_unknown(self, message: Message) -> None:
        """The child was begun by this very message and has been deleted since: nobody can say how it ended."""
        failure = Failure(
            kind="OutcomeUnknown",
            error_type="ChildGone",
            message="the child workflow was cleaned up before its result was delivered",
        )
        held = Held(message.sender, message.generation, int(message.seq), 1, "", message.token)
        await self._complete(held, "failed", failure.encode())

    async def _outcome(self, message: Message) -> None:
        held = Held(message.to, message.receiver_generation, int(message.seq), 1, "", message.token)
        status = {"completed": "ok", "failed": "failed", "canceled": "canceled"}[message.status]
        await self._complete(held, status, message.payload)

    async def _complete(self, held: Held, status: str, payload: bytes) -> None:
        await self._host.store.steps.complete(
            held, nonce=draw_nonce(), at_ms=self._host.now_ms(), status=status, payload=payload
        )

    async def _cancel(self, message: Message) -> None:
        address = _child(message, read_command(message.payload))
        await self._host.store.instances.cancel(address, payload=b"", tombstone_for=_start_of(message))

    async def _cleanup(self, message: Message) -> None:
        instances = self._host.store.instances
        if message.seq:
            # Another courier may be about to cancel it.
            address = _child(message, read_command(message.payload))
            await instances.cleanup(address, message=_start_of(message), when_ended=True)
        else:
            # What is called on completion may still be running: it is let end.
            address = completion_address(message.sender, message.receiver_generation)
            await instances.cleanup(address, when_ended=True)

    # ----------------------------------------------------------------------------------------------------- pools

    async def _tell_of_permit(self, message: Message, since: int) -> None:
        """Tell a pool what a step wants, or a step that it has its permit; one it does not want any more goes back."""
        permit, pools = Permit.in_message(message), self._host.store.pools
        if message.what == "acquire":
            await pools.acquire([Asking(permit, message.priority)], since=since)
        elif message.what == "free" or not await pools.admit(permit):
            await pools.free([permit], since=since)

    # --------------------------------------------------------------------------------------------- on completion

    async def _call_on_complete(self, message: Message, since: int) -> None:
        """Start the actor that calls what was asked for at the sender's end."""
        instances = self._host.store.instances
        asked = await instances.field(message.sender, "", "on_complete")
        if asked is None:
            return
        completion = Completion.decode(asked)
        await instances.create(
            completion_address(message.sender, message.receiver_generation),
            name=completion.command.label,
            arguments=completion.call(message.sender.partition("/")[2], message.status, message.payload),
            message=f"{message.sender}|{message.receiver_generation}|on_complete",
            start_at_ms=completion.due_ms(self._host.now_ms()),
            deadline_ms=self._host.now_ms() + DEADLINE_MS,
            since=since,
        )


def _start_of(message: Message) -> str:
    """Return the id of the message that started, or is to start, the child."""
    return f"{message.sender}|{message.seq}|{message.token}"


def _waiter_of(message: Message) -> str:
    """Return who is to get the child's result."""
    return f"{message.sender}|{message.generation}|{message.seq}|{message.token}"


def _child(message: Message, command: Command) -> str:
    return child_address(message.sender, seq=message.seq, token=message.token, options=command.options)
