"""JSON as it was recorded, whatever limit this interpreter has on the digits of an integer."""

from __future__ import annotations

import json
from typing import Any

#: The lowest limit that an interpreter can be set to.
_DIGITS = 640


def loads(text: bytes | str) -> Any:
    """What ``json.loads`` gives, with integers of any length."""
    try:
        return json.loads(text)
    except json.JSONDecodeError:
        raise
    except ValueError:
        return json.loads(text, parse_int=_integer)


def _integer(digits: str) -> int:
    sign, digits = (-1, digits[1:]) if digits.startswith("-") else (1, digits)
    number = 0
    for start in range(0, len(digits), _DIGITS):
        piece = digits[start : start + _DIGITS]
        number = number * 10 ** len(piece) + int(piece)
    return sign * number
