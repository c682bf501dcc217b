"""Keys: the only place where a key's name is made (scripts: ``lua/fragments/actor.lua``).

With ``K = {namespace:partition}`` and ``<kind>/<id>`` the actor's address:

=======================  ==========  =========================================================  =======================
key                      type        holds                                                      deleted by
=======================  ==========  =========================================================  =======================
K:<kind>:<id>            hash        the actor's record (after cleanup a tombstone with a TTL)  cleanup
K:<kind>.journal:<id>    hash        arguments, commands, outcomes, events                      cleanup
K:<kind>.open:<id>       hash        commands asked for, without outcome                        their outcomes, the end
K:<kind>.staged:<id>     hash        token and count of an undecided turn's chunks              commit, the end
K:<kind>.events:<id>     stream      mailbox                                                    park, the end
K:<kind>.values:<id>     hash        published values                                           cleanup
K:<kind>.large:<id>      hash        payloads too large for the journal, by their hash          cleanup, begin anew
K:ready                  stream      actors with unconsumed events                              never (emptied)
K:q:<queue>              stream      step commands                                              never (emptied)
K:q:<queue>!<n>          stream      the same of priority n, 1 to 9                             never (emptied)
K:bands                  set         which of those there are, as `<queue>!<n>`                 never
K:outbox                 stream      messages to actors                                         never (emptied)
K:held                   zset        begun and not completed, by worker                         emptied
K:delayed, K:retries     zset        what is due later, by ms                                   emptied
K:expiry                 zset        ended actors, by the ms at which retention ends            emptied
K:index:<name>:<status>  zset        actors by creation time, ms                                emptied
K:index:tag:<tag>        zset        the same of those that have a tag, `key|value`             cleanup
K:pool:<name>            hash        a pool: limit, and how many have asked                     never
K:pool.held:<name>       zset        permits that are out, by the ms of the last look           emptied
K:pool.waiting:<name>    zset        who waits for one, in their order                          emptied
K:pools                  set         pools that lie in this partition                           never
K:names                  set         names of workflows ever started here                       never
K:meta                   hash        number of partitions, format, hash seed                    never
K:barrier                string      nothing: what WAIT waits for, with replicated durability   never
K:dead                   stream      commands set aside for a person                            a person
K:app:<name>             any         the application's own keys beside its instances            the application
ns:workers               zset        heartbeats                                                 fence
{ns:workers}:about       hash        what each worker says of itself                            fence
ns:gateway, ns:dead      stream      messages published by any service; those not carried out   gateway; a person
=======================  ==========  =========================================================  =======================
"""

from __future__ import annotations

import re
from binascii import crc_hqx
from functools import lru_cache
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable

DISPATCHERS: Final = "dispatchers"
WORKERS: Final = "workers"
COURIERS: Final = "couriers"
GATEWAYS: Final = "gateways"

_NAMESPACE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
_META: Final = re.compile(r"\{([A-Za-z0-9._-]{1,64}):0\}:meta")
ID_BYTES_MAX: Final = 200
TAGS_REMEMBERED: Final = 4096
"""Actors whose partition is remembered (about 1 MB)."""


class Keys:
    """The names of all keys of one namespace."""

    def __init__(self, namespace: str, partitions: int) -> None:
        """Prepare the tags of ``partitions`` partitions (1 to 4096)."""
        self.namespace = namespace
        self.partitions = partitions
        self.tags = tuple(tag(namespace, p) for p in range(partitions))
        self.tag_of: Final[Callable[[str], str]] = lru_cache(TAGS_REMEMBERED)(self._tag_of)
        """Returns the hash tag ``{ns:p}`` of an actor's partition; asked for several times at each step."""

    def partition(self, address: str) -> int:
        """Return the partition of an actor: ids that agree up to the first ``/`` share one."""
        actor_id = address[address.index("/") + 1 :]
        return crc_hqx(actor_id.partition("/")[0].encode(), 0) % self.partitions

    def _tag_of(self, address: str) -> str:
        return self.tags[self.partition(address)]

    @property
    def workers(self) -> str:
        """Heartbeats of workers."""
        return f"{self.namespace}:workers"

    @property
    def outside_partitions(self) -> tuple[str, ...]:
        """Every key of the namespace that belongs to no partition."""
        return self.workers, f"{{{self.workers}}}:about", self.gateway, self.dead

    @property
    def gateway(self) -> str:
        """Messages published by any service."""
        return f"{self.namespace}:gateway"

    @property
    def dead(self) -> str:
        """Messages that could not be understood."""
        return f"{self.namespace}:dead"


def tag(namespace: str, partition: int) -> str:
    """Return the hash tag of a partition."""
    return f"{{{namespace}:{partition}}}"


def namespace_of_meta(key: str) -> str:
    """Return the namespace whose first partition's ``meta`` the key is; empty: it is none."""
    match = _META.fullmatch(key)
    return match[1] if match else ""


def valid_namespace(namespace: str) -> bool:
    """Tell whether a namespace's name can stand in keys."""
    return _NAMESPACE.fullmatch(namespace) is not None


def valid_queue(queue: str) -> bool:
    """Tell whether a queue's name can stand in keys, places and script arguments."""
    return _NAMESPACE.fullmatch(queue) is not None


def valid_id(actor_id: str) -> bool:
    """Tell whether an actor's id is 1 to 200 bytes of printable text."""
    return 0 < len(actor_id.encode("utf-8", "replace")) <= ID_BYTES_MAX and actor_id.isprintable()


def id_of(address: str) -> str:
    """Return an actor's id, as people know it."""
    return address[address.index("/") + 1 :]


def actor(tag: str, address: str, part: str = "") -> str:
    """Return one of an actor's keys; ``part`` is empty for the record, else ``journal``, ``open``, ``large`` …."""
    kind, _, actor_id = address.partition("/")
    return f"{tag}:{kind}.{part}:{actor_id}" if part else f"{tag}:{kind}:{actor_id}"


def shared(tag: str, name: str) -> str:
    """Return a partition's key that all its actors share: ``ready``, ``held``, ``delayed``, ``outbox`` …."""
    return f"{tag}:{name}"


def queue(tag: str, name: str) -> str:
    """Return the stream of a queue's step commands in a partition."""
    return f"{tag}:q:{name}"


def pool_address(name: str) -> str:
    """Return a pool's address, by which its partition is found; it is no actor."""
    return f"pool/{name}"


def pool(tag: str, name: str, part: str = "") -> str:
    """Return one of a pool's keys; ``part`` is empty for the limit, else ``held`` or ``waiting``."""
    return actor(tag, pool_address(name), part)


def index(tag: str, index: str) -> str:
    """Return the key of an index in a partition."""
    return f"{tag}:index:{index}"


def status_index(name: str, status: str) -> str:
    """Name the index of a workflow's instances in one status."""
    return f"{name}:{status}"


def tag_index(key: str, value: str) -> str:
    """Name the index of all instances that have a tag. No workflow's name has the bar in it."""
    return f"tag:{key}|{value}"


def changed(tag: str, address: str) -> str:
    """Return the channel on which an actor's changes are announced."""
    return f"{tag}:changed:{address}"


def ended(tag: str, address: str) -> str:
    """Return the channel on which an actor's end is announced."""
    return f"{tag}:ended:{address}"


def replied(tag: str, address: str) -> str:
    """Return the channel on which replies to an actor's updates are announced."""
    return f"{tag}:replied:{address}"


def due(tag: str) -> str:
    """Return the channel on which an earlier due time is announced."""
    return f"{tag}:due"
