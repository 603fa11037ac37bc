"""Content types: a frozen table from a file's extension, and their short form in rows.

The table is part of the format: the same path has the same type on every machine, so that the same
files give the same tree. Types are stored as their place in ``TYPES``, which only ever grows at its
end; a type that is not there is stored as its name.
"""

from __future__ import annotations

import re

from ahstore.errors import InvalidInputError

DEFAULT = "application/octet-stream"
MAX_LENGTH = 127
MAX_INDEX = 0xFFFF

_TYPE = re.compile(r"[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*/[A-Za-z0-9][A-Za-z0-9!#$&^_.+-]*\Z")

# Type, then the extensions that have it. Append lines at the end; never move, change or remove one.
_TABLE: tuple[tuple[str, str], ...] = (
    (
        DEFAULT,
        "bin dat pt pth ckpt safetensors npy pkl pickle joblib model weights gguf ggml mlmodel",
    ),
    ("text/plain", "txt text log cfg conf ini rst names labels vocab merges"),
    ("application/json", "json ipynb webmanifest"),
    ("application/x-ndjson", "jsonl ndjson"),
    ("text/csv", "csv"),
    ("text/tab-separated-values", "tsv"),
    ("image/png", "png"),
    ("image/jpeg", "jpg jpeg jpe jfif"),
    ("application/vnd.apache.parquet", "parquet"),
    ("application/zip", "zip npz"),
    ("text/markdown", "md markdown"),
    ("application/yaml", "yaml yml"),
    ("application/toml", "toml"),
    ("text/x-python", "py pyi pyw"),
    ("application/x-hdf5", "h5 hdf5 hdf he5 keras"),
    ("application/gzip", "gz tgz"),
    ("application/x-tar", "tar"),
    ("application/zstd", "zst"),
    ("application/x-bzip2", "bz2"),
    ("application/x-xz", "xz"),
    ("application/x-7z-compressed", "7z"),
    ("application/x-lz4", "lz4"),
    ("application/vnd.apache.arrow.file", "arrow feather ipc"),
    ("application/vnd.apache.avro", "avro"),
    ("application/vnd.apache.orc", "orc"),
    ("application/x-onnx", "onnx"),
    ("application/x-tflite", "tflite"),
    ("application/x-protobuf", "pb pbtxt tfevents"),
    ("application/x-tfrecord", "tfrecord tfrecords"),
    ("application/x-recordio", "rec recordio"),
    ("application/vnd.sqlite3", "sqlite sqlite3 db"),
    ("application/x-lmdb", "mdb lmdb"),
    ("application/msgpack", "msgpack"),
    ("application/cbor", "cbor"),
    ("application/bson", "bson"),
    ("application/xml", "xml xsd xsl"),
    ("text/html", "html htm"),
    ("text/css", "css"),
    ("text/javascript", "js mjs cjs"),
    ("application/pdf", "pdf"),
    ("application/x-sh", "sh bash"),
    ("application/sql", "sql"),
    ("image/gif", "gif"),
    ("image/webp", "webp"),
    ("image/bmp", "bmp dib"),
    ("image/tiff", "tif tiff"),
    ("image/svg+xml", "svg"),
    ("image/avif", "avif"),
    ("image/heic", "heic"),
    ("image/jp2", "jp2"),
    ("image/jxl", "jxl"),
    ("image/x-exr", "exr"),
    ("image/vnd.radiance", "hdr"),
    ("image/x-portable-pixmap", "ppm"),
    ("image/x-portable-graymap", "pgm"),
    ("image/x-portable-bitmap", "pbm"),
    ("image/vnd.microsoft.icon", "ico"),
    ("application/dicom", "dcm dicom"),
    ("application/x-nifti", "nii"),
    ("audio/wav", "wav"),
    ("audio/flac", "flac"),
    ("audio/mpeg", "mp3"),
    ("audio/ogg", "ogg oga opus"),
    ("audio/mp4", "m4a"),
    ("audio/aac", "aac"),
    ("audio/aiff", "aif aiff"),
    ("audio/midi", "mid midi"),
    ("video/mp4", "mp4 m4v"),
    ("video/webm", "webm"),
    ("video/x-matroska", "mkv"),
    ("video/quicktime", "mov qt"),
    ("video/x-msvideo", "avi"),
    ("video/mpeg", "mpeg mpg"),
    ("model/gltf+json", "gltf"),
    ("model/gltf-binary", "glb"),
    ("model/obj", "obj"),
    ("model/stl", "stl"),
    ("application/x-ply", "ply"),
    ("application/vnd.las", "las laz"),
    ("application/geo+json", "geojson"),
    ("application/geopackage+sqlite3", "gpkg"),
    ("application/netcdf", "nc"),
    ("application/x-grib", "grib grib2"),
    ("application/fits", "fits fit"),
    ("application/x-matlab-data", "mat"),
    ("application/x-r-data", "rdata rda rds"),
    ("application/vnd.ms-excel", "xls"),
    ("application/vnd.openxmlformats-officedocument.spreadsheetml.sheet", "xlsx"),
    ("application/msword", "doc"),
    ("application/vnd.openxmlformats-officedocument.wordprocessingml.document", "docx"),
    ("application/vnd.ms-powerpoint", "ppt"),
    ("application/vnd.openxmlformats-officedocument.presentationml.presentation", "pptx"),
    ("application/vnd.oasis.opendocument.text", "odt"),
    ("application/vnd.oasis.opendocument.spreadsheet", "ods"),
    ("application/rtf", "rtf"),
    ("application/epub+zip", "epub"),
    ("application/x-tex", "tex"),
    ("text/x-c", "c h"),
    ("text/x-c++", "cpp cc cxx hpp hh cu cuh"),
    ("text/x-java-source", "java"),
    ("text/x-go", "go"),
    ("text/x-rust", "rs"),
    ("text/x-r", "r"),
    ("text/x-julia", "jl"),
    ("text/x-lua", "lua"),
    ("application/typescript", "ts tsx"),
    ("text/x-scala", "scala"),
    ("application/wasm", "wasm"),
    ("application/java-archive", "jar"),
    ("application/vnd.debian.binary-package", "deb"),
    ("application/x-rpm", "rpm"),
    ("application/x-python-wheel+zip", "whl"),
    ("application/vnd.rar", "rar"),
    ("font/ttf", "ttf"),
    ("font/otf", "otf"),
    ("font/woff", "woff"),
    ("font/woff2", "woff2"),
    ("text/vtt", "vtt"),
    ("application/x-subrip", "srt"),
    ("text/calendar", "ics"),
    ("message/rfc822", "eml"),
    ("chemical/x-pdb", "pdb"),
    ("chemical/x-mdl-sdfile", "sdf"),
    ("chemical/x-cif", "cif"),
    ("text/x-fasta", "fasta fa faa fna"),
    ("text/x-fastq", "fastq fq"),
    ("text/x-vcf", "vcf"),
    ("application/x-bam", "bam"),
    ("text/x-diff", "diff patch"),
    ("application/jsonc", "jsonc"),
    ("application/json5", "json5"),
    ("application/ld+json", "jsonld"),
    ("application/n-triples", "nt"),
    ("text/turtle", "ttl"),
    ("application/rdf+xml", "rdf"),
)

TYPES: tuple[str, ...] = tuple(name for name, _ in _TABLE)
"""Every type of the table; a row stores the place."""

EXTENSIONS: dict[str, str] = {
    extension: name for name, extensions in _TABLE for extension in extensions.split()
}
"""Lower-case extension, without its dot, to type."""

_INDEX = {name: index for index, name in enumerate(TYPES)}


def guess(path: str) -> str:
    """Return the content type that the last extension of ``path`` stands for."""
    return EXTENSIONS.get(_extension(path), DEFAULT)


def guess_code(path: str) -> int:
    """Return ``encode(guess(path))``."""
    return _INDEX[EXTENSIONS.get(_extension(path), DEFAULT)]


def encode(content_type: str) -> int | str:
    """Return what a row stores for ``content_type``.

    Raises:
        InvalidInputError: it is not of the form ``type/subtype``.
    """
    index = _INDEX.get(content_type)
    if index is not None:
        return index
    check(content_type)
    return content_type


def decode(stored: int | str) -> str:
    """Return the type that a row stores. What a later table added reads as the default."""
    if isinstance(stored, str):
        return stored
    return TYPES[stored] if stored < len(TYPES) else DEFAULT


def check(stored: object) -> None:
    """Check what a row stores.

    Raises:
        InvalidInputError: it is no place of a table, nor a type that no place stands for.
    """
    if type(stored) is int and 0 <= stored <= MAX_INDEX:
        return
    if (
        type(stored) is not str
        or len(stored) > MAX_LENGTH
        or not _TYPE.match(stored)
        or stored in _INDEX
    ):
        raise InvalidInputError(f"not a content type: {stored!r:.150}", value=repr(stored)[:150])


def _extension(path: str) -> str:
    name = path[path.rfind("/") + 1 :]
    dot = name.rfind(".")
    extension = name[dot + 1 :]
    return extension.lower() if dot > 0 and extension.isascii() else ""
