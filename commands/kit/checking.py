"""Checks an auditor's export; needs Python 3.9 or newer and nothing else: `python3 verify.py` in the folder of the export.

For every line of events.jsonl it computes the SHA-256 over the hash before (of the same clinic), the envelope and the stored bytes, and compares it with the hash of that
line; a clinic's chain begins with the SHA-256 of its id. Then it checks the signatures (Ed25519, RFC 8032, section 5.1.7) of heads.jsonl with the key in
public-key.txt (after a change of keys: the keys), which you should compare with the one you were given by other means, and that each signed head is the hash at its place in the chain.
"""

import base64
import hashlib
import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

P = 2**255 - 19
Q = 2**252 + 27742317777372353535851937790883648493
D = -121665 * pow(121666, P - 2, P) % P
ROOT = pow(2, (P - 1) // 4, P)
Point = tuple[int, int, int, int]


def add(one: Point, two: Point) -> Point:
    a, b = (one[1] - one[0]) * (two[1] - two[0]) % P, (one[1] + one[0]) * (two[1] + two[0]) % P
    c, d = 2 * one[3] * two[3] * D % P, 2 * one[2] * two[2] % P
    e, f, g, h = b - a, d - c, d + c, b + a
    return e * f % P, g * h % P, f * g % P, e * h % P


def times(factor: int, point: Point) -> Point:
    result: Point = (0, 1, 1, 0)
    while factor:
        if factor & 1:
            result = add(result, point)
        point, factor = add(point, point), factor >> 1
    return result


def unpacked(raw: bytes) -> Point:
    number = int.from_bytes(raw, "little")
    sign, y = number >> 255, number & (1 << 255) - 1
    square = (y * y - 1) * pow(D * y * y + 1, P - 2, P) % P
    x = pow(square, (P + 3) // 8, P)
    if (x * x - square) % P:
        x = x * ROOT % P
    if y >= P or (x * x - square) % P or (not x and sign):
        raise ValueError("not a point of the curve")
    x = P - x if x & 1 != sign else x
    return x, y, 1, x * y % P


def genuine(public: bytes, signature: bytes, message: bytes) -> bool:
    """Say whether a signature is the key's."""
    try:
        key, r = unpacked(public), unpacked(signature[:32])
    except ValueError:
        return False
    s = int.from_bytes(signature[32:], "little")
    base = unpacked((4 * pow(5, P - 2, P) % P).to_bytes(32, "little"))
    h = int.from_bytes(hashlib.sha512(signature[:32] + public + message).digest(), "little") % Q
    left, right = times(s, base), add(r, times(h, key))
    return s < Q and not (left[0] * right[2] - right[0] * left[2]) % P and not (left[1] * right[2] - right[1] * left[2]) % P


def content(one: dict[str, Any]) -> bytes:
    """Return the bytes that an event's hash covers, after those of the hash before."""
    topic, kind = one["topic"].encode(), one["kind"].encode()
    ids = {name: UUID(one[name]).bytes if one[name] else b"" for name in ("stream", "clinic", "id", "command", "correlation", "causation", "actor", "person")}
    return b"".join((
        one["position"].to_bytes(8, "big"), ids["stream"], one["version"].to_bytes(8, "big"), len(topic).to_bytes(4, "big"), topic, ids["clinic"],
        len(kind).to_bytes(4, "big"), kind, ids["id"], ids["command"], ids["correlation"], ids["causation"], b"|", ids["actor"], ids["person"], b"|",
        one["recordedMicroseconds"].to_bytes(8, "big", signed=True), bytes.fromhex(one["mac"]), base64.b64decode(one["stored"])))


def lines(file: Path) -> Iterator[dict[str, Any]]:
    with file.open(encoding="utf-8") as every:
        for line in every:
            yield json.loads(line)


def check(folder: Path) -> list[str]:
    """Return what is wrong with an export."""
    wrong: list[str] = []
    hashes: dict[str, str] = {}
    counts: dict[str, int] = {}
    keys = [bytes.fromhex(line.split()[0]) for line in (folder / "public-key.txt").read_text("ascii").splitlines() if line]
    heads = {(head["clinic"], head["position"]): head for head in lines(folder / "heads.jsonl")}
    for one in lines(folder / "events.jsonl"):
        clinic, before = one["clinic"], hashes.get(one["clinic"])
        start = bytes.fromhex(before) if before else hashlib.sha256(UUID(clinic).bytes).digest()
        if hashlib.sha256(start + content(one)).hexdigest() != one["hash"]:
            wrong.append(f"position {one['position']}: the hash does not follow from the event before and the content")
        hashes[clinic], counts[clinic] = one["hash"], counts.get(clinic, 0) + 1
        head = heads.pop((clinic, one["position"]), None)
        if head and (head["hash"], head["events"]) != (one["hash"], counts[clinic]):
            wrong.append(f"position {one['position']}: the head signed at {head['signedAt']} says another hash or number of events")
    wrong += [f"position {head['position']}: the event of the head signed at {head['signedAt']} is not there" for head in heads.values()]
    for head in lines(folder / "heads.jsonl"):
        said = "anamnesis head 1 clinic {clinic} position {position} events {events} hash {hash} at {signedAt}".format(**head)
        if not any(genuine(public, bytes.fromhex(head["signature"]), said.encode()) for public in keys):
            wrong.append(f"position {head['position']}: the signature of the head of {head['signedAt']} is not the key's")
    sys.stdout.write(f"{sum(counts.values())} events of {len(counts)} clinics; {len(wrong)} findings\n")
    return wrong


if __name__ == "__main__":
    found = check(Path(__file__).resolve().parent)
    sys.stdout.writelines(f"{line}\n" for line in found)
    sys.exit(1 if found else 0)
