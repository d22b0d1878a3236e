"""Read posts from JSONL, CSV, TSV and plain text, row by row, with a reason for each row that is no post."""

from __future__ import annotations

import csv
import gzip
import io
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Final, Literal, cast, get_args

from modq.errors import InvalidPost, ModqError
from modq.post import FIELDS, MAX_ENTRY_BYTES, Post, post_from, read_object

if TYPE_CHECKING:
    import _csv

Format = Literal["jsonl", "csv", "tsv", "text"]
FORMATS: Final[tuple[Format, ...]] = get_args(Format)

Extra = Literal["error", "metadata", "ignore"]
EXTRAS: Final[tuple[Extra, ...]] = get_args(Extra)

LONGEST_LINE: Final = 4 * MAX_ENTRY_BYTES
"""A longer line is rejected unread; a shorter one may still be too long once decoded."""

_SUFFIXES: Final[Mapping[str, Format]] = {".jsonl": "jsonl", ".ndjson": "jsonl", ".csv": "csv", ".tsv": "tsv", ".txt": "text"}
_ESCAPED_BYTE: Final = re.compile("[\udc80-\udcff]")
_BOM: Final = b"\xef\xbb\xbf"


class WrongInput(ModqError):
    """The file as a whole cannot be read as what it is said to be."""


@dataclass(frozen=True, slots=True)
class Form:
    """How the rows of a file are to be understood."""

    format: Format
    prefix: str
    """A row without an id gets this, a colon and its line number."""
    extra: Extra = "error"
    """What is done about fields that a post does not have."""
    source: str | None = None
    """Overrides the rows' own."""
    id_column: str | None = None
    text_column: str | None = None


@dataclass(frozen=True, slots=True)
class Row:
    """What a file holds between two ends of line, or what a CSV reader takes for one row."""

    line: int
    """Where it ends, counted from 1."""
    content: bytes | dict[str, str] | InvalidPost


def format_of(path: Path) -> Format | None:
    """The format that the file's name tells, if any; ``.gz`` after it does not matter."""
    return _SUFFIXES.get(Path(stem(path, ".gz")).suffix.lower())


def stem(path: Path, *suffixes: str) -> str:
    """The file's name without ``.gz``, or without the suffixes given."""
    name = path.name
    for suffix in suffixes or (".gz", *_SUFFIXES):
        if name.lower().endswith(suffix):
            name = name[: -len(suffix)]
    return name


def opened(file: BinaryIO, path: Path) -> BinaryIO:
    """The file's content, uncompressed."""
    return cast(BinaryIO, gzip.GzipFile(fileobj=file)) if path.name.lower().endswith(".gz") else file


def read_rows(file: BinaryIO, form: Form) -> Iterator[Row]:
    """Every row that is not blank; one that cannot be read holds the reason instead.

    Raises:
        WrongInput: a CSV file whose first line is no header, or lacks a column that was asked for.
    """
    return _table(file, form) if form.format in ("csv", "tsv") else _lines(file)


def post_of(row: Row, form: Form) -> Post:
    """The post in ``row``.

    Raises:
        InvalidPost: there is none.
    """
    if isinstance(row.content, InvalidPost):
        raise row.content
    fields = row.content if isinstance(row.content, dict) else _fields(row.content, form)
    return post_from(_arranged(fields, form, row.line))


def _arranged(given: Mapping[str, Any], form: Form, line: int) -> dict[str, Any]:
    columns = {name: name for name in (*FIELDS, "v")}
    columns |= {"id": form.id_column or "id", "text": form.text_column or "text"}
    for name in filter(None, (form.id_column, form.text_column)):
        if name not in given:
            raise InvalidPost("missing_field", f"{name} is missing")
    fields = {name: given[column] for name, column in columns.items() if column in given}
    extra = {name: value for name, value in given.items() if name not in columns.values()}
    if extra and form.extra == "error":
        raise InvalidPost("unknown_field", f"a post has no {', '.join(sorted(map(ascii, extra))[:5])}: see --extra")
    if extra and form.extra == "metadata":
        fields["metadata"] = extra | fields["metadata"] if isinstance(fields.get("metadata"), dict) else extra
    if form.source is not None:
        fields["source"] = form.source
    return fields | {"id": _id(fields.get("id"), form, line)}


def _id(given: object, form: Form, line: int) -> object:
    if given is None or given == "":
        return f"{form.prefix}:{line}"
    # Data sets often number their rows.
    return str(given) if isinstance(given, int) and not isinstance(given, bool) else given


def _fields(line: bytes, form: Form) -> Mapping[str, Any]:
    if form.format == "jsonl":
        return read_object(line)
    try:
        return {"text": line.decode("utf-8")}
    except UnicodeDecodeError:
        raise InvalidPost("not_utf8", "the line is not UTF-8") from None


def _lines(file: BinaryIO) -> Iterator[Row]:
    number = 0
    while line := file.readline(LONGEST_LINE):
        number += 1
        if len(line) == LONGEST_LINE and not line.endswith(b"\n"):
            _skip_line(file)
            yield Row(number, InvalidPost("entry_too_large", f"the line has more than {LONGEST_LINE:,} bytes"))
        elif line := (line.removeprefix(_BOM) if number == 1 else line).rstrip(b"\r\n"):
            yield Row(number, line)


def _skip_line(file: BinaryIO) -> None:
    while (rest := file.readline(LONGEST_LINE)) and not rest.endswith(b"\n"):
        pass


def _table(file: BinaryIO, form: Form) -> Iterator[Row]:
    csv.field_size_limit(LONGEST_LINE)
    # Bytes that are no UTF-8 stay recognisable, so that they cost their own row and not the file.
    text = io.TextIOWrapper(file, encoding="utf-8-sig", errors="surrogateescape", newline="")
    try:
        yield from _table_rows(csv.reader(text, delimiter="\t" if form.format == "tsv" else ",", strict=True), form)
    finally:
        # Its end would close the file, which is not ours.
        text.detach()


def _table_rows(reader: _csv.Reader, form: Form) -> Iterator[Row]:
    header = _header(reader, form)
    while True:
        try:
            cells = next(reader)
        except StopIteration:
            return
        except csv.Error:
            yield Row(reader.line_num, InvalidPost("not_csv", "the row is not CSV: a quote is missing, or a cell is too long"))
            continue
        if cells:
            yield Row(reader.line_num, _named(cells, header, form))


def _header(reader: Iterator[list[str]], form: Form) -> list[str]:
    try:
        header = next(reader, [])
    except csv.Error:
        raise WrongInput("the first line is no CSV header") from None
    for name in (form.id_column or "", form.text_column or "text"):
        if name and name not in header:
            raise WrongInput(f"the header has no column {name!a}: name the column with --id-column or --text-column")
    if len(set(header)) < len(header):
        raise WrongInput("the header has two columns of the same name")
    return header


def _named(cells: list[str], header: list[str], form: Form) -> dict[str, str] | InvalidPost:
    if len(cells) != len(header):
        return InvalidPost("not_csv", f"the row has {len(cells)} cells, the header {len(header)}")
    if any(_ESCAPED_BYTE.search(cell) for cell in cells):
        return InvalidPost("not_utf8", "the row is not UTF-8")
    # An empty cell is an absent field, except where a field was asked for by name or must be there.
    kept = {"text", form.text_column, form.id_column}
    return {name: cell for name, cell in zip(header, cells, strict=True) if cell or name in kept}
