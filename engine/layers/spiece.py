"""A T5 tokenizer's ``spiece.model``, read without the sentencepiece and protobuf packages.

Comes in: the file, which is a protobuf message. Goes out: its pieces with their scores, and its table of character
replacements. Does not know how text is cut into pieces.

Source: sentencepiece_model.proto of google/sentencepiece. Of ModelProto: 1 the pieces (1 text, 2 score), 3 the
normalizer (2 the table).
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from engine.contract.errors import Rejected

PIECES, NORMALIZER = 1, 3
PIECE_TEXT, PIECE_SCORE = 1, 2
CHARACTER_TABLE = 2


@dataclass(frozen=True, slots=True)
class Spiece:
    """``pieces``: (text, score) by id. ``character_table``: as sentencepiece compiled it, b"" for none."""

    pieces: tuple[tuple[str, float], ...]
    character_table: bytes


def read_spiece(path: Path) -> Spiece:
    """Raises Rejected("weights") for a file that is not such a message."""
    try:
        message = [*_fields(path.read_bytes())]
        pieces = tuple(_piece(value) for number, value in message if number == PIECES)
        tables = [
            value
            for number, body in message
            if number == NORMALIZER
            for field, value in _fields(body)
            if field == CHARACTER_TABLE
        ]
    except (OSError, ValueError, struct.error) as error:
        raise Rejected("weights", f"{path}: not a readable tokenizer ({error}). Get it again.") from error
    if not pieces:
        raise Rejected("weights", f"{path}: a tokenizer without pieces. Get it again.")
    return Spiece(pieces, tables[0] if tables else b"")


def _piece(message: bytes) -> tuple[str, float]:
    fields = dict(_fields(message))
    score = struct.unpack("<f", fields[PIECE_SCORE])[0] if PIECE_SCORE in fields else 0.0
    return fields[PIECE_TEXT].decode(), score


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """(field number, bytes of its value) in order. Numbers of variable length are not needed here: they come as b""."""
    position = 0
    while position < len(message):
        key, position = _varint(message, position)
        size, position = _size_of(key & 7, message, position)
        if position + size > len(message):
            raise ValueError("cut short")
        yield key >> 3, message[position : position + size]
        position += size


def _size_of(wire_type: int, message: bytes, position: int) -> tuple[int, int]:
    """-> bytes of the value, and where they begin."""
    match wire_type:
        case 0:
            return 0, _varint(message, position)[1]
        case 1:
            return 8, position
        case 2:
            return _varint(message, position)
        case 5:
            return 4, position
        case other:
            raise ValueError(f"unknown wire type {other} at byte {position}")


def _varint(message: bytes, position: int) -> tuple[int, int]:
    """-> the number and where the next thing begins."""
    number = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("cut short")
        byte = message[position]
        number |= (byte & 0x7F) << shift
        position, shift = position + 1, shift + 7
        if byte < 0x80:
            return number, position
