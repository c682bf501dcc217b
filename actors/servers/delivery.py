"""Delivery: what a message means to its receiver. Each call may be repeated; a definite answer ends the message."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING, Final

import structlog

from actors.definitions import decode_beginning
from actors.errors import Failure
from kernel import Gone, Held, Late, Message, Refused, draw_nonce, read_command

if TYPE_CHECKING:
    from actors.servers.host import Host

log = structlog.get_logger(__name__)

DEADLINE_MS: Final = 10_000
"""A receiver refuses what arrives later, so that no delivery outlives a tombstone."""
ID_BYTES_MAX: Final = 200


class Delivery:
    """Delivers messages for a courier."""

    def __init__(self, host: Host) -> None:
        """Work for one worker."""
        self._host = host

    async def deliver(self, message: Message) -> bool:
        """Deliver a message; True: the answer is definite, the message may go."""
        message = await self._host.store.outbox.carried(message)
        try:
            match message.what:
                case "create":
                    await self._create(message)
                case "outcome":
                    await self._outcome(message)
                case "cancel":
                    await self._cancel(message)
                case "cleanup":
                    await self._host.store.instances.cleanup(self._child(message), message=_start_of(message))
                case _:
                    log.error("a message of a newer version is left to newer workers", what=message.what)
                    return False
        except Late:
            return False
        except Refused:
            return True
        return True

    async def _create(self, message: Message) -> None:
        """Start a child as its parent's journal says; nothing, if the parent has moved on."""
        store = self._host.store
        field = message.payload
        if not field or field.split(b"|", 3)[2] != message.token.encode():
            return
        command = read_command(field)
        parent = _start_of(message)
        fields, retention_ms = decode_beginning(command.options)
        if retention_ms is None:
            retention = await store.instances.field(message.sender, "", "retention")
            retention_ms = int(retention) if retention else None
        try:
            await store.instances.create(
                self._child(message),
                name=command.target,
                arguments=command.arguments,
                message=parent,
                start_at_ms=command.due_ms,
                deadline_ms=self._host.now_ms() + DEADLINE_MS,
                timeout_ms=command.timeout_ms,
                retention_ms=retention_ms,
                fields={**fields, "parent": parent},
            )
        except Gone:
            await self._outcome_unknown(message)

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
        await self._host.store.instances.cancel(self._child(message), payload=b"", tombstone_for=_start_of(message))

    @staticmethod
    def _child(message: Message) -> str:
        return child_address(message.sender, generation=message.generation, seq=message.seq, token=message.token)


def _start_of(message: Message) -> str:
    """Return the id of the message that started, or is to start, the child."""
    return f"{message.sender}|{message.generation}|{message.seq}|{message.token}"


def child_address(parent: str, *, generation: str, seq: str, token: str) -> str:
    """Return the address of the child that a command asked for: in its parent's partition, and never issued twice."""
    digest = hashlib.blake2b(f"{generation}|{token}".encode(), digest_size=6).hexdigest()
    address = f"{parent}/{seq}.{digest}"
    if len(address.encode()) > ID_BYTES_MAX:
        kind, _, actor_id = parent.partition("/")
        whole = hashlib.blake2b(f"{parent}|{generation}|{token}".encode(), digest_size=12).hexdigest()
        address = f"{kind}/{actor_id.partition('/')[0]}/{seq}.{whole}"
    return address
