"""A reader of ahstore's stores that knows nothing but docs/format: not ahstore, not its authors.

It reads the store of a local folder to the end: folders, assets, branches and tags, commits, trees,
files, evaluations, runs. What it can't find in docs/format is missing there. Needs msgpack, xxhash and
zstandard; `python stranger.py STORE` lists a store, `python stranger.py STORE ASSET-ID REF FOLDER`
restores a version.
"""

import hashlib
import io
import json
import os
import struct
import sys
from base64 import b32decode

import msgpack
import xxhash
import zstandard

CHUNK, PAGE, COMMIT, RECORD = 1, 2, 3, 4
FAMILIES = {1: "data", 2: "meta"}


class DamagedError(Exception):
    pass


def require(condition, what):
    if not condition:
        raise DamagedError(what)


def checksum(data):
    return xxhash.xxh3_64_digest(data)


# Encoding (encoding.md).


def decode(data):
    unique = lambda pairs: dict(pairs) if len({k for k, _ in pairs}) == len(pairs) else None  # noqa: E731
    value = msgpack.unpackb(data, object_pairs_hook=unique, strict_map_key=True)
    again = msgpack.packb(_ordered(value), use_single_float=False)
    require(again == data, "not canonical")
    return value


def _ordered(value):
    if isinstance(value, dict):
        return {key: _ordered(value[key]) for key in sorted(value, key=str.encode)}
    return [_ordered(item) for item in value] if isinstance(value, list) else value


def open_envelope(kind, data):
    magic, found, length, check = struct.unpack_from(">4s4sI8s", data)
    payload = data[20:]
    require(magic == b"AHS1" and found == kind and len(payload) == length, "envelope")
    require(checksum(kind + payload) == check, "envelope's checksum")
    return payload


# Names of files (storage.md).


def unescape(part):
    if part.startswith("~9"):
        text = part[2:].upper()
        return b32decode(text + "=" * (-len(text) % 8)).decode()
    out, at = bytearray(), 0
    while at < len(part):
        if part[at] != "~":
            out += part[at].encode()
            at += 1
        elif part[at + 1] == "0":
            out.append(int(part[at + 2 : at + 4], 16))
            at += 4
        else:
            out += part[at + 1].upper().encode()
            at += 2
    return out.decode()


class Store:
    def __init__(self, folder):
        self.folder = folder
        with open(os.path.join(folder, "store.json")) as file:
            self.settings = json.load(file)
        require(self.settings["format"] == 1, "format")
        self.places = {}
        for family in FAMILIES.values():
            top = os.path.join(folder, "packs", family)
            for xx in sorted(os.listdir(top)) if os.path.isdir(top) else []:
                for name in sorted(os.listdir(os.path.join(top, xx))):
                    self._read_pack_index(family, xx, name)

    # Packs (packs.md).

    def _read_pack_index(self, family, xx, name):
        path = os.path.join(self.folder, "packs", family, xx, name)
        require(name[:2] == xx, "a pack's folder")
        with open(path, "rb") as file:
            pack = file.read()
        require(pack[:5] == b"AHPK\1" and FAMILIES[pack[5]] == family, "header")
        require(pack[6:8] == b"\0\0", "header's zeros")
        trailer = pack[-52:]
        offset, count, check, id_, version, kind, zero = struct.unpack_from(">QI8s16sBB2s", trailer)
        require(trailer[48:] == b"KPHA" and checksum(trailer[:40]) == trailer[40:48], "trailer")
        require((version, FAMILIES[kind], zero) == (1, family, b"\0\0"), "trailer's fields")
        require(id_.hex() == name and offset + 60 * count + 52 == len(pack), "trailer's numbers")
        index = pack[offset : offset + 60 * count]
        require(checksum(index) == check, "index's checksum")
        last = b""
        for at in range(0, len(index), 60):
            entry = index[at : at + 60]
            address, kind, codec, _, stored, raw, start, check = struct.unpack(
                ">32sBBHIIQ8s", entry
            )
            require(entry[:33] > last and start >= 8 and start + stored <= offset, "index")
            require(family == "meta" or kind == CHUNK, "a data pack holds chunks only")
            last = entry[:33]
            self.places[address, kind] = (path, start, stored, raw, codec, check)

    def blob(self, kind, address):
        require((address, kind) in self.places, f"blob {address.hex()} is missing")
        path, start, stored, raw, codec, check = self.places[address, kind]
        with open(path, "rb") as file:
            file.seek(start)
            data = file.read(stored)
        require(checksum(data) == check, "blob's checksum")
        if codec == 1:
            data = unzstd(data, raw)
        elif codec:
            data = unplane(data, raw, {2: 2, 3: 4, 4: 8}[codec])
        require(len(data) == raw and hashlib.sha256(data).digest() == address, "blob's bytes")
        return data

    # Cells (cells.md).

    def cell(self, *parts):
        """Return state and value of the newest version of a cell; its parts are escaped."""
        key = "/".join(("cells", *parts, ""))
        folder = os.path.join(self.folder, key)
        names = sorted(os.listdir(folder)) if os.path.isdir(folder) else []
        if not names:
            return "absent", {}
        with open(os.path.join(folder, names[0]), "rb") as file:
            version = decode(open_envelope(b"CELL", file.read()))
        number = 2**48 - 1 - int(names[0], 16)
        require(set(version) == {"v", "cell", "n", "nonce", "state", "time", "value"}, "cell")
        require((version["v"], version["cell"], version["n"]) == (1, key, number), "cell's place")
        require(len(names) == number + 1 and len(version["nonce"]) == 16, "cell's numbers")
        return version["state"], version["value"]

    # Trees (objects.md).

    def rows(self, root):
        level, rows = decode(self.blob(PAGE, root))
        require(level == 0 or len(rows) > 1, "a root with one page below")
        yield from self._below(level, rows, "")

    def _below(self, level, rows, after):
        require(len(rows) <= 256, "a page's rows")
        for row in rows:
            require(row[0].encode() > after.encode() or after == "" == row[0], "order of keys")
            if level == 0:
                yield row
            else:
                last, weight, page, count = row
                below, inner = decode(self.blob(PAGE, page))
                require(below == level - 1 and inner[-1][0] == last, "a page below")
                require(weight == sum(each[1] for each in inner), "weight")
                leaves = len(inner) if below == 0 else sum(each[3] for each in inner)
                require(count == leaves, "count")
                yield from self._below(below, inner, after)
            after = row[0]

    # The hub (hub.md).

    def tree_cell(self, *parts):
        state, value = self.cell(*parts)
        return self.rows(value["root"]) if state == "live" else iter(())

    def payload(self, row):
        return decode(self.blob(RECORD, row[2])) if isinstance(row[2], bytes) else row[2]

    def folders(self):
        for row in self.tree_cell("catalogue", "root"):
            value = self.payload(row)
            if self.cell("catalogue", value["id"])[0] != "dead":
                yield row[0], value

    def assets(self):
        """Yield path and record of each asset."""
        for key, folder in self.folders():
            for row in self.tree_cell("catalogue", folder["id"]):
                yield f"{key}/{row[0]}", self.payload(row)

    def refs(self, asset):
        folder = os.path.join(self.folder, "cells", "ref", asset)
        for part in sorted(os.listdir(folder)):
            state, value = self.cell("ref", asset, part)
            if state == "live":
                yield unescape(part), value["kind"], value["commit"]

    def evaluations(self, model):
        """Yield id, the two commits, and results by key."""
        for row in self.tree_cell("evaluations", model):
            commit, _, evaluation = row[0].split("/")
            value = self.payload(row)
            results = value[value[0] :]
            yield (
                evaluation,
                bytes.fromhex(commit),
                value[7],
                dict(zip(results[::2], results[1::2], strict=True)),
            )

    # Runs (runs.md).

    def runs(self, model):
        """Yield id and record of each run that was not deleted."""
        folder = os.path.join(self.folder, "cells", "run", model)
        for run in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            state, value = self.cell("run", model, run)
            if state == "live":
                named, whose = self.cell("runname", value["name"])
                require(named == "live" and whose == {"model": model, "run": run}, "a run's name")
                yield run, value

    def printed(self, run, stream=""):
        """Return the lines that a run printed, or logged as ``.metrics``."""
        folder = os.path.join(self.folder, "logs", run + stream)
        text = b""
        for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
            require(len(name) == 8, "a segment's name")
            with open(os.path.join(folder, name), "rb") as file:
                text += file.read()
        return text.decode(errors="replace").splitlines()

    # Commits and files (objects.md).

    def commit(self, commit):
        value = decode(self.blob(COMMIT, commit))
        fields = {"asset", "committer", "date", "message", "metadata", "parents", "tree", "v"}
        require(set(value) == fields and value["v"] == 1, "commit")
        return value

    def log(self, commit):
        seen, ahead = set(), [commit]
        while ahead:
            one = ahead.pop()
            if one not in seen:
                seen.add(one)
                value = self.commit(one)
                yield one, value
                ahead += value["parents"]

    def files(self, commit):
        for row in self.rows(self.commit(commit)["tree"]):
            path, size, md5, _, flags, _, refs = row
            require(not flags & 0x0E and len(md5) == 16 and flags < 256, "flags, MD5")
            parts = path.split("/")
            require(not {"", ".", ".."} & set(parts) and "\\" not in path, "path")
            require(size == sum(length for _, length in pairs(refs)), "size")
            yield row

    def content(self, row):
        _, size, md5, _, flags, _, refs = row
        data = b"".join(self._chunks(flags >> 4, refs))
        require(len(data) == size and hashlib.md5(data).digest() == md5, "a file's bytes")
        return data

    def _chunks(self, level, refs):
        for address, length in pairs(refs):
            data = self.blob(CHUNK, address)
            if level == 0:
                require(len(data) == length, "a chunk's length")
                yield data
            else:
                require(sum(n for _, n in pairs(data)) == length, "a list's length")
                yield from self._chunks(level - 1, data)


def pairs(refs):
    require(len(refs) % 40 == 0, "references")
    return [struct.unpack_from(">32sQ", refs, at) for at in range(0, len(refs), 40)]


def unzstd(frame, most):
    reader = zstandard.ZstdDecompressor().stream_reader(io.BytesIO(frame))
    return reader.read(most + 1)


def unplane(data, raw, stride):
    lengths = struct.unpack_from(f">{stride}I", data)
    out, at = bytearray(raw), 4 * stride
    for plane, length in enumerate(lengths):
        size = (raw - plane + stride - 1) // stride
        part = unzstd(data[at : at + length], size)
        require(len(part) == size, "a plane")
        out[plane::stride] = part
        at += length
    require(at == len(data), "planes")
    return bytes(out)


def main(arguments):
    store = Store(arguments[0])
    if len(arguments) == 1:
        for path, asset in store.assets():
            print(path, asset["id"])
            for name, kind, commit in store.refs(asset["id"]):
                print("  ", kind, name, commit.hex(), sum(1 for _ in store.log(commit)), "commits")
        return
    _, asset, wanted, target = arguments
    commit = next(commit for name, _, commit in store.refs(asset) if name == wanted)
    for row in store.files(commit):
        path = os.path.join(target, row[0])
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "xb") as file:
            file.write(store.content(row))


if __name__ == "__main__":
    main(sys.argv[1:])
