"""Files of amino-acid sequences: CSV and tables like it, and FASTA; and the sequence that describes a task.

Axis letters: A numbers that describe a task.
"""

import re
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from metaprior.errors import DataError
from metaprior.molecules.alleles import Alleles, known_alleles
from metaprior.molecules.amino_acids import ALPHABET
from metaprior.molecules.formats import Structures, file_encoding
from metaprior.molecules.sequence_source import encode_descriptions
from metaprior.tasks.columns import Frame, pandas, without_words
from metaprior.tasks.rows import need_columns, read_table

__all__ = ["describe_task", "describing", "read_sequences"]

_NAMES = (
    "cdr3aa", "junctionaa", "cdr3", "cdr3b", "cdr3beta", "cdr3trb", "trbcdr3", "bcdr3", "tcr", "peptide", "peptideseq",
    "sequence", "seq", "aminoacid", "aminoacidsequence", "repertoire", "repertoires",
)  # fmt: skip
"""What a column of sequences is called, without regard to case and to what is no letter or digit."""
_DESCRIBES = {
    "epitope": ("epitope", "antigenepitope", "epitopeaa", "antigen", "peptide"),
    "allele": ("allele", "hla", "mhc", "hlaallele", "mhcallele", "mhca"),
}
_FASTA = (".fasta", ".fa", ".faa")
_LOOKED_AT = 50
_BASES, _LEAST = "ACGTN", 3
"""So many sequences of these letters alone are DNA."""


def read_sequences(
    file: str | Path, argument: str = "file", column: str | None = None, apart: Sequence[str] = ()
) -> Structures:
    """Read a file of sequences.

    Args:
        file: a CSV with a header, a tab-separated file if its name ends in .tsv, or FASTA (`.fasta`, `.fa`, `.faa`).
        argument: the name of the argument, for messages.
        column: that holds the sequences; None to find it by its name, or else by what it holds.
        apart: columns that hold sequences of another kind.

    Raises:
        DataError: if it cannot be read, or no column holds sequences.

    Example:
        >>> import tempfile
        >>> file = Path(tempfile.mkdtemp()) / "a.csv"
        >>> _ = file.write_text("Epitope,CDR3B,Affinity\\nGILGFVFTL,CASSIRSSYEQYF,1\\n")
        >>> read_sequences(file).column
        'CDR3B'
    """
    path = Path(file)
    if not path.is_file():
        raise DataError(
            f"{argument}: {path} {'is a folder' if path.is_dir() else 'does not exist'}; expected a CSV or FASTA file"
        )
    if path.name.lower().endswith(_FASTA):
        return _read_fasta(path, argument)
    frame = read_table(path, argument, file_encoding(path, argument))
    if column is not None:
        need_columns(frame, [column], argument, path)
    else:
        column = _found(frame, argument, path, apart)
    letters = set("".join(frame[column].dropna().astype(str)).upper())
    if len(frame) >= _LEAST and letters and letters <= set(_BASES):
        raise DataError(f"{argument}: column '{column}' of {path} holds nucleotides; expected amino acids")
    return Structures(frame.assign(**{column: without_words(frame[column])}), column)


def describe_task(
    described: Mapping[str, Any], frames: Mapping[str, Frame], taken: str, about: str | None = None
) -> tuple[str, Tensor | None]:
    """Return what a user's task is about, and its description.

    Args:
        described: what a source's `inputs` says of it.
        frames: tables that may have a column for it, by the name of their argument.
        taken: the column of the sequences, which is none for this.
        about: what it is about; None to read it from a column.

    Returns:
        The epitope, or the name of the allele, empty if it is not known; and `(1, A)`, None if it is not known or the
        prior is not told it.

    Raises:
        DataError: if the tables are about several, or it is not known and the prior cannot do without it.
    """

    def told(argument: str, name: str) -> tuple[str, str]:
        try:
            return _sequence(name, described)
        except DataError as error:
            raise DataError(f"{argument}: {error}") from error

    resolved: dict[str, tuple[str, str]] = {}
    for argument, frame in frames.items():
        for name in describing(frame, described["column"], taken):
            written = dict.fromkeys(str(value).strip() for value in without_words(frame[name]).dropna())
            found = {sequence: shown for shown, sequence in (told(argument, value) for value in written)}
            if len(found) > 1:
                some = ", ".join([*found.values()][:3])
                raise DataError(
                    f"{argument}: column '{name}' has {len(found)} of them ({some}, ...); expected the rows of one "
                    f"{described['column']}"
                )
            for sequence, shown in found.items():
                resolved.setdefault(sequence, (shown, argument))
    if about is not None:
        given = told("about", about)
        for sequence, (shown, argument) in resolved.items():
            if sequence != given[1]:
                text = f"about: {given[0]} is what was asked for, though the {argument} says {shown}"
                warnings.warn(text, stacklevel=4)
        resolved = {given[1]: (given[0], "about")}
    if len(resolved) > 1:
        (first, before), (second, after), *_ = resolved.values()
        raise DataError(f"{after}: is about {second}, the {before} about {first}")
    if resolved:
        sequence, (shown, _) = next(iter(resolved.items()))
        place = described["place"]
        return shown, None if place == "none" else encode_descriptions([sequence], described["featuriser"])
    if described["place"] == "input":
        raise DataError(
            f"about: the prior must be told the {described['column']}: give it by `about`, or in a column "
            f"'{described['column']}'"
        )
    return "", None


def _sequence(name: str, described: Mapping[str, Any]) -> tuple[str, str]:
    """Return a name as it should be written, and the sequence that stands for it."""
    if "alleles" not in described:
        return name.upper(), name.upper()
    own = Alleles(described["alleles"])
    return own.find(name) if name in own else known_alleles().find(name)


def describing(frame: Frame, wanted: str, taken: str) -> list[str]:
    """Return the column that says what a task is about, if there is one.

    Args:
        frame: a table.
        wanted: "epitope" or "allele".
        taken: the column of the sequences, which is none for this.
    """
    plain = {str(name): _plain(str(name)) for name in frame.columns if name != taken}
    known = _DESCRIBES.get(wanted, (wanted,))
    return [name for name, lower in plain.items() if lower in known][:1]


def _plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())


def _found(frame: Frame, argument: str, path: Path, apart: Sequence[str]) -> str:
    """Return the column that holds sequences."""
    others = {known for name in apart for known in _DESCRIBES.get(name, (_plain(name),))}
    plain = {str(name): _plain(str(name)) for name in frame.columns}
    for known in _NAMES:
        for name, lower in plain.items():
            if lower == known and lower not in others:
                return name
    holding = [name for name, lower in plain.items() if lower not in others and _holds_sequences(frame[name])]
    if len(holding) == 1:
        return holding[0]
    found = f"columns {', '.join(holding)} could all hold sequences" if holding else "no column holds sequences"
    raise DataError(f"{argument}: {found} in {path}; name one by `sequence`. It has: {', '.join(plain)}")


def _holds_sequences(values: Any) -> bool:
    some = [str(value).strip().upper() for value in values.dropna()[:_LOOKED_AT]]
    good = [text for text in some if len(text) >= 5 and not set(text) - set(ALPHABET)]
    # Some names of classes, such as ACTIVE, are letters of amino acids too.
    return bool(some) and len(good) >= 0.9 * len(some) and len(set(good)) >= min(3, len(some))


def _read_fasta(path: Path, argument: str) -> Structures:
    """Read records, numbered from 1; what follows `>` is their name."""
    text = path.read_bytes().decode(file_encoding(path, argument))
    records = [part.strip().split("\n", 1) for part in re.split(r"(?m)^>", text.replace("\r", "")) if part.strip()]
    if not records or not text.lstrip().startswith(">"):
        raise DataError(f"{argument}: {path} has no FASTA records, which begin with '>'")
    columns = {
        "name": [record[0].strip() for record in records],
        "sequence": ["".join(record[1].split()) if len(record) > 1 else None for record in records],
    }
    return Structures(pandas().DataFrame(columns, index=range(1, len(records) + 1), dtype=object), "sequence")
