"""Files of molecules: CSV and tables like it, JSON lines, SDF, lists of SMILES; every bad structure known by its row.

Axis letters: M molecules.
"""

import codecs
import gzip
import io
import json
import re
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metaprior.errors import DataError
from metaprior.molecules.structure import needed, parse, quiet
from metaprior.tasks.columns import Frame, pandas, text, without_words
from metaprior.tasks.rows import need_columns, read_table

__all__ = ["Structures", "file_encoding", "read_structures"]

_NAMES = ("smiles", "canonical_smiles", "isomeric_smiles", "smi", "structure", "molecule", "mol", "compound_structure")
"""What a column of SMILES is called, without regard to case, spaces and underscores."""
_LOOKED_AT = 50
_SELFIES = re.compile(r"(\[[^\[\]]+\]){2,}")
"""Nothing but brackets, which SMILES have for single atoms."""
_SDF = (".sdf", ".sdf.gz", ".sd", ".mol")
_JSON = (".jsonl", ".jsonl.gz")
_LINES = (".smi", ".smiles")


@dataclass(frozen=True, eq=False)
class Structures:
    """The molecules or sequences of a file, with everything else that it says of them.

    Args:
        frame: M rows of text with all columns, their index the numbers of the rows as the file counts them.
        column: the name of the column that holds SMILES or sequences.
        problems: what is wrong with a structure that could not even be read, by row.
    """

    frame: Frame
    column: str
    problems: dict[Any, str] = field(default_factory=dict)


def read_structures(file: str | Path, argument: str = "file", smiles: str | None = None) -> Structures:
    """Read a file of molecules.

    Args:
        file: a CSV with a header, or a tab-separated file if its name ends in .tsv; `.smi`, lines of a SMILES and,
            after a space, a name; `.jsonl` or `.jsonl.gz`, an object on each line, as those of FS-Mol; or `.sdf`,
            `.sdf.gz`, `.sd` or `.mol`.
        argument: the name of the argument, for messages.
        smiles: the column that holds SMILES; None to find it by its name, or else by what it holds.

    Raises:
        DataError: if it cannot be read, or no column holds SMILES.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.csv"
        >>> _ = file.write_text("id,SMILES,active\\n7,CO,1\\n8,CCO,0\\n")
        >>> read_structures(file).column
        'SMILES'
    """
    if not isinstance(file, str | Path):
        raise DataError(f"{argument}: expected the path of a file, got {type(file).__name__}")
    path = Path(file)
    if not path.is_file():
        raise DataError(
            f"{argument}: {path} {'is a folder' if path.is_dir() else 'does not exist'}; expected a CSV or SDF"
        )
    name = path.name.lower()
    if name.endswith(_SDF):
        return _read_sdf(path, argument)
    if name.endswith(_LINES):
        return _read_lines(path, argument)
    as_json = name.endswith(_JSON)
    frame = _read_json(path, argument) if as_json else read_table(path, argument, file_encoding(path, argument))
    if smiles is not None:
        need_columns(frame, [smiles], argument, path)
    column = smiles if smiles is not None else _found(frame, argument, path)
    _check_smiles(frame[column], column, argument, path)
    return Structures(frame.assign(**{column: without_words(frame[column])}), column)


def file_encoding(path: Path, argument: str) -> str:
    """Return the encoding of a file: UTF-8, UTF-16 if it is marked so, or what Western spreadsheets write."""
    content = _content(path, argument)
    if content.startswith(b"PK\x03\x04"):
        raise DataError(f"{argument}: {path} is a spreadsheet or an archive; save it as CSV")
    if content.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)):
        return "utf-16"
    for encoding in ("utf-8-sig", "cp1252"):
        try:
            content.decode(encoding)
        except UnicodeDecodeError:
            continue
        if encoding != "utf-8-sig":
            warnings.warn(f"{argument}: {path} is not in UTF-8; it was read as Windows-1252", stacklevel=2)
        return encoding
    warnings.warn(f"{argument}: {path} is not in UTF-8; it was read as Latin-1", stacklevel=2)
    return "latin-1"


def _content(path: Path, argument: str) -> bytes:
    """Return what is in a file, unpacked."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else open(path, "rb") as file:
            return file.read()
    except (OSError, EOFError) as error:
        raise DataError(f"{argument}: {path} cannot be read ({error})") from error


def _found(frame: Frame, argument: str, path: Path) -> str:
    """Return the column that holds SMILES."""
    plain = {str(name): str(name).lower().replace(" ", "_") for name in frame.columns}
    for known in _NAMES:
        for name, lower in plain.items():
            if lower == known:
                return name
    ending = [name for name, lower in plain.items() if lower.endswith("smiles")]
    if len(ending) == 1:
        return ending[0]
    holding = ending or [name for name in plain if _holds_smiles(frame[name])]
    if len(holding) == 1 and _is_molecule(holding[0]):
        raise DataError(
            f"{argument}: {path} has no header, since its first line has the structure '{holding[0]}'; put one above "
            "it, such as smiles, or give the file the ending .smi"
        )
    if len(holding) == 1:
        return holding[0]
    for name in plain:
        _check_smiles(frame[name], name, argument, path)
    found = f"columns {', '.join(holding)} could all hold SMILES" if holding else "no column holds SMILES"
    raise DataError(f"{argument}: {found} in {path}; name one by `smiles`. It has: {', '.join(plain)}")


def _holds_smiles(values: Any) -> bool:
    """Whether nearly all of the first values are structures of some bonds, as no name, number or class is."""
    some = [str(value) for value in values.dropna()[:_LOOKED_AT]]
    return bool(some) and sum(map(_is_molecule, some)) >= 0.9 * len(some)


def _check_smiles(values: Any, name: str, argument: str, path: Path) -> None:
    """Raise DataError if a column is of SELFIES, some of which can be read as SMILES of other molecules."""
    some = [str(value).strip() for value in values.dropna()[:_LOOKED_AT]]
    if some and sum(_SELFIES.fullmatch(text) is not None for text in some) >= 0.9 * len(some):
        raise DataError(
            f"{argument}: column '{name}' of {path} is of SELFIES; turn them into SMILES, as `decoder` of the package "
            "selfies does"
        )


def _is_molecule(given: str) -> bool:
    try:
        return " " not in given.strip() and parse(given).GetNumBonds() >= 1
    except DataError:
        return False


def _read_lines(path: Path, argument: str) -> Structures:
    lines = _content(path, argument).decode(file_encoding(path, argument)).splitlines()
    rows = {number: line.split(maxsplit=1) for number, line in enumerate(lines, 1) if line.strip()}
    if rows and next(iter(rows.values()))[0].lower() in _NAMES:
        rows.pop(next(iter(rows)))
    if not rows:
        raise DataError(f"{argument}: {path} has no structures")
    columns: dict[str, Iterable[str | None]] = {"smiles": [parts[0] for parts in rows.values()]}
    _check_smiles(pandas().Series(columns["smiles"]), "1", argument, path)
    if any(len(parts) > 1 for parts in rows.values()):
        columns["name"] = [parts[1].strip() if len(parts) > 1 else None for parts in rows.values()]
    return Structures(pandas().DataFrame(columns, index=list(rows), dtype=object), "smiles")


def _read_json(path: Path, argument: str) -> Frame:
    """Return the fields of records, numbered by their lines from 1; lists and objects within them are left out."""
    records = {}
    for number, line in enumerate(_content(path, argument).decode(file_encoding(path, argument)).splitlines(), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except ValueError as error:
            raise DataError(f"{argument}: line {number} of {path} is no JSON ({error})") from error
        if not isinstance(record, dict):
            raise DataError(f"{argument}: line {number} of {path}: expected an object with fields, got '{line[:40]}'")
        records[number] = {
            key: None if value is None or value != value else text(value)
            for key, value in record.items()
            if not isinstance(value, list | dict)
        }
    if not records:
        raise DataError(f"{argument}: {path} has no structures")
    return pandas().DataFrame(list(records.values()), index=list(records), dtype=object)


def _read_sdf(path: Path, argument: str) -> Structures:
    """Read records, numbered from 1; their fields are columns."""
    chem = needed("rdkit.Chem")
    records, problems = [], {}
    content = _content(path, argument).decode(file_encoding(path, argument))
    # RDKit is given one record at a time, since after a broken one it would lose the next.
    parts = re.split(r"(?m)^\$\$\$\$[^\n]*\n?", content.replace("\r\n", "\n").replace("\r", "\n"))
    parts = parts[:-1] if not parts[-1].strip() else parts
    try:
        with quiet():
            for number, part in enumerate(parts, 1):
                molecule = next(iter(chem.ForwardSDMolSupplier(io.BytesIO(f"{part}$$$$\n".encode()))), None)
                if molecule is None:
                    problems[number] = "the record is no molecule"
                    records.append({"smiles": None})
                    continue
                known = molecule.GetPropsAsDict(includePrivate=False, includeComputed=False, autoConvertStrings=False)
                name = molecule.GetProp("_Name") if molecule.HasProp("_Name") else ""
                # A field of this name may be of another form of the molecule; the record's structure counts.
                fields = {
                    "smiles_given" if key == "smiles" else str(key): str(value).strip() or None
                    for key, value in known.items()
                }
                records.append({"smiles": chem.MolToSmiles(molecule), "name": name or None} | fields)
    except (OSError, RuntimeError, SystemError) as error:
        raise DataError(f"{argument}: {path} cannot be read as an SDF file ({error})") from error
    if not records:
        raise DataError(f"{argument}: {path} has no records")
    frame = pandas().DataFrame(records, index=range(1, len(records) + 1), dtype=object)
    empty = frame.isna().all() & (frame.columns != "smiles")
    return Structures(frame.loc[:, ~empty], "smiles", problems)
