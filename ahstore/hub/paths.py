"""Paths of folders, assets and references: ``[user/]model/<folder>[/<asset>[:<ref>]]``.

Owns the text form and its grammar. It looks nothing up: whether a folder is there is asked of
``hub``, what a reference points to of ``versions``.

Which part is what: a first part ``model`` or ``dataset`` is always the kind; else a second part
``model`` or ``dataset`` is the kind and the first the owner, if at least a folder follows; else
the kind was left out, which is allowed only where the command says it, and then there are a
folder and perhaps an asset. So with the kind left out a folder may not be called ``model`` or
``dataset``: write ``model/model/x``. An owner so called needs all four parts:
``model/model/f/a`` is asset ``a`` of the owner ``model``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from ahstore.errors import InvalidInputError
from ahstore.names import check_name, check_ref_name

AssetType = Literal["model", "dataset"]
Need = Literal["folder", "asset", "ref"]

ASSET_TYPES: tuple[AssetType, ...] = ("model", "dataset")
DEFAULT_REF = "main"
MAX_PATH_LENGTH = 1024

_REF_KINDS = ("branch", "tag", "commit")
_WALK = r"[~^][0-9]{0,9}|@\{[^{}\x00-\x1f\x7f-\x9f\ud800-\udfff]{1,64}\}"
_REF = re.compile(rf"([^~^@]*)((?:{_WALK})*)\Z")
_BEST = re.compile(
    r"@(best|lowest|highest):([^,\x00-\x1f\x7f]{1,255})(?:,([^,\x00-\x1f\x7f]{1,255}))?\Z"
)
_FORM = "[user/]model/<folder>[/<asset>[:<ref>]], or the same with dataset"


@dataclass(frozen=True, slots=True)
class HubPath:
    """A path taken apart. ``asset`` and ``ref`` are None where the text stops before them."""

    owner: str | None
    type: AssetType
    folder: str
    asset: str | None = None
    ref: str | None = None

    def format(self) -> str:
        """Return the canonical text, which `parse` turns into an equal path."""
        text = f"{self.type}/{self.folder}"
        if self.owner is not None:
            text = f"{self.owner}/{text}"
        if self.asset is not None:
            text = f"{text}/{self.asset}"
        return text if self.ref is None else f"{text}:{self.ref}"

    @property
    def ref_or_main(self) -> str:
        """The reference, ``main`` when it was left out."""
        return DEFAULT_REF if self.ref is None else self.ref

    def __str__(self) -> str:
        return self.format()


def parse(
    text: str,
    *,
    default_type: str | None = None,
    only_type: str | None = None,
    need: Need | None = None,
) -> HubPath:
    """Return the parts of ``text``.

    Args:
        text: the path as a user wrote it.
        default_type: the kind when the text names none.
        only_type: the only kind that will do; the default kind, too.
        need: ``folder``: a folder and nothing more; ``asset``: an asset, a reference may follow
            and stays None when it does not; ``ref``: an asset and a reference, both written.

    Raises:
        InvalidInputError: the text is malformed, or names less, more or other than needed; the
            message says which part is wrong.
    """
    if only_type is not None:
        default_type = check_type(only_type)
    path = _parse(text, default_type)
    if only_type is not None and path.type != only_type:
        raise _invalid(text, f"it names a {path.type}, a {only_type} is needed")
    _check_need(text, path, need)
    return path


def check_type(text: str) -> AssetType:
    """Return ``text`` if it is a kind of asset: ``model`` or ``dataset``.

    Raises:
        InvalidInputError: it is something else.
    """
    if text not in ASSET_TYPES:
        raise InvalidInputError(
            f"invalid type {text[:80]!r}: use 'model' or 'dataset'", value=text[:80]
        )
    return text


@dataclass(frozen=True, slots=True)
class BestReference:
    """``@best:METRIC[,DATASET]`` taken apart; ``lowest`` None means by the metric's name."""

    metric: str
    lowest: bool | None
    dataset: str | None


def parse_best(ref: str) -> BestReference | None:
    """Return what a reference of this kind says, None for one of another kind.

    Raises:
        InvalidInputError: it begins with ``@`` and says nothing that is known.
    """
    if not ref.startswith("@"):
        return None
    match = _BEST.match(ref)
    if match is None:
        raise InvalidInputError(
            f"invalid reference {ref[:100]!r}: write @best:METRIC, @lowest:METRIC or"
            " @highest:METRIC, and ,FOLDER/DATASET if there are several",
            value=ref[:200],
        )
    lowest = {"best": None, "lowest": True, "highest": False}[match[1]]
    return BestReference(match[2], lowest, match[3])


def check_ref(text: str) -> str:
    """Return ``text`` if it may stand for a commit of an asset.

    That is a name, or ``branch/``, ``tag/`` or ``commit/`` and a name, and then any number of
    ``~N``, ``^N`` and ``@{…}`` that walk back; or ``@best:METRIC`` and its like (``measures.py``).

    Raises:
        InvalidInputError: it may not; the message names the offending part.
    """
    if len(text) > MAX_PATH_LENGTH:
        raise InvalidInputError(
            f"invalid reference: it has {len(text)} characters, the limit is {MAX_PATH_LENGTH}"
        )
    if parse_best(text) is not None:
        return text
    match = _REF.match(text)
    name = match[1] if match else text
    kind, slash, rest = name.partition("/")
    if slash and kind in _REF_KINDS:
        name = rest
    if match is None and name[:1].isalnum() and set(name) & set("~^@"):
        raise InvalidInputError(
            f"invalid reference {_show(text)}: after the name only ~N, ^N and @{{…}} may follow",
            value=_show(text),
        )
    check_ref_name(name, what="reference")
    return text


def _parse(text: str, default_type: str | None) -> HubPath:
    if len(text) > MAX_PATH_LENGTH:
        raise _invalid(text, f"it has {len(text)} characters, the limit is {MAX_PATH_LENGTH}")
    location, colon, ref = text.partition(":")
    if "://" in text:
        raise _invalid(text, f"it looks like a URL; write {_FORM}")
    parts = location.split("/")
    if not all(parts):
        raise _invalid(text, f"a part is empty; write {_FORM}")
    owner, asset_type, names = _split(text, parts, default_type)
    if owner is not None:
        check_name(owner, what="user")
    path = HubPath(
        owner=owner,
        type=asset_type,
        folder=check_name(names[0], what="folder"),
        asset=check_name(names[1], what=asset_type) if len(names) == 2 else None,
        ref=check_ref(ref) if colon else None,
    )
    if colon and path.asset is None:
        raise _invalid(text, "a folder has no references; name an asset before ':'")
    return path


def _split(
    text: str, parts: list[str], default_type: str | None
) -> tuple[str | None, AssetType, list[str]]:
    """Tell owner, kind and the one or two names apart."""
    owner: str | None = None
    with_owner = len(parts) >= 3 and parts[1] in ASSET_TYPES
    if with_owner and (parts[0] not in ASSET_TYPES or len(parts) == 4):
        owner, kind, names = parts[0], parts[1], parts[2:]
    elif parts[0] in ASSET_TYPES:
        kind, names = parts[0], parts[1:]
    elif len(parts) <= 2 and default_type is not None:
        kind, names = default_type, parts
    else:
        raise _invalid(text, f"it names no model or dataset; write {_FORM}")
    if not names:
        raise _invalid(text, f"the folder is missing; write {_FORM}")
    if len(names) > 2:
        raise _invalid(text, f"there is a part too many: {_show('/'.join(names[2:]))}")
    return owner, check_type(kind), names


def _check_need(text: str, path: HubPath, need: Need | None) -> None:
    if need == "folder" and path.asset is not None:
        raise _invalid(text, "it names an asset, a folder is needed")
    if need in ("asset", "ref") and path.asset is None:
        raise _invalid(text, f"it names a folder, a {path.type} in it is needed")
    if need == "ref" and path.ref is None:
        raise _invalid(text, "it names no reference; add ':' and a branch, a tag or a commit")


def _invalid(text: str, problem: str) -> InvalidInputError:
    return InvalidInputError(f"invalid path {_show(text)}: {problem}", value=_show(text))


def _show(text: str) -> str:
    return repr(text[:200].encode("utf-8", "backslashreplace").decode())
