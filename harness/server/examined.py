"""An answer of the doctor: whether something is as it should be, and what to do."""

from __future__ import annotations

from enum import Enum
from typing import NamedTuple


class Answer(Enum):
    """Whether something is as it should be."""

    GOOD = "good"
    WARNING = "warning"
    BAD = "bad"


class Examined(NamedTuple):
    """A question, how it was answered, and the detail or what to do."""

    question: str
    answer: Answer
    detail: str
