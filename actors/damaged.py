"""Damaged: what callers are told of an instance of which something stored is missing or makes no sense."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from actors.errors import InstanceDamaged
from kernel import ActorDamaged, KernelError, is_damage, keys

if TYPE_CHECKING:
    from collections.abc import Generator


def damaged(address: str, what: str) -> InstanceDamaged:
    """Return the error for an instance of which something is wrong; ``what`` is a clause."""
    workflow_id = keys.id_of(address)
    return InstanceDamaged(f"what Redis has of the workflow {workflow_id!r} is damaged ({what}): run headrace doctor")


@contextmanager
def naming_damage(address: str) -> Generator[None]:
    """Raise InstanceDamaged for whatever Redis says, or the kernel finds, because of an instance's keys."""
    try:
        yield
    except ActorDamaged as error:
        raise damaged(address, error.what) from None
    except KernelError as error:
        if not is_damage(error):
            raise
        is_type = "WRONGTYPE" in str(error)
        raise damaged(address, "one of its keys is of another type" if is_type else "a script cannot use it") from error


@contextmanager
def reading(address: str) -> Generator[None]:
    """Raise InstanceDamaged if an instance's fields cannot be read. For reading alone: nothing else may fail in it."""
    try:
        yield
    except (KeyError, ValueError, IndexError, TypeError, AttributeError) as error:
        raise damaged(address, f"its fields cannot be read, {type(error).__name__}: {error}") from None
