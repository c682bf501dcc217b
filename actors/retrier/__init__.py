"""Retriers: durable actors that run one step, which its policy may run again, and end with its outcome. Pure."""

from __future__ import annotations

from actors.retrier.completion import Completion
from actors.retrier.retrier import KIND, Retrier

__all__ = ["KIND", "Completion", "Retrier"]
