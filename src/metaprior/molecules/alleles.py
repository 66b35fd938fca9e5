"""Names of MHC alleles in any common spelling, and the pseudosequences that describe them."""

import csv
import difflib
import gzip
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path

from metaprior import data
from metaprior.errors import DataError

__all__ = ["Alleles", "allele_key", "allele_name", "known_alleles"]

_HUMAN = re.compile(r"(?:HLA)?(?=[ABCEFG]W?\d)")
_MOUSE = re.compile(r"(?:H2)?(?=(?:[DKL][BDKQSF]|QA\d)$)")
_PARTS = re.compile(r"HLA([A-Z])(\d\d)(\d{2,3})([NLSCAQ]?)$")
_PSEUDO = re.compile(r"[ARNDCQEGHILKMFPSTWYV]{34}")


def allele_key(name: str) -> str:
    """Return what all spellings of an allele have in common: letters and digits, in capitals, without further fields.

    Example:
        >>> {allele_key(name) for name in ("HLA-A*02:01", "A0201", "HLA-A02:01", "a*02:01", "HLA-A*02:01:01:02")}
        {'HLAA0201'}
        >>> {allele_key(name) for name in ("H-2-Kb", "H2-Kb", "H-2Kb", "Kb")}, allele_key("Cw*03:03")
        ({'H2KB'}, 'HLAC0303')
    """
    text = ":".join(name.strip().upper().split(":")[:2])
    plain = re.sub(r"[^A-Z0-9]", "", text)
    plain = _HUMAN.sub("HLA", plain, count=1) if _HUMAN.match(plain) else plain
    plain = re.sub(r"^HLACW(?=\d)", "HLAC", plain)
    if _MOUSE.match(plain):
        return _MOUSE.sub("H2", plain, count=1)
    # Six or eight digits in a row are four of the protein and what says how it is coded.
    long = re.match(r"(HLA[A-Z]\d{4})(?:\d\d){1,2}[NLSCAQ]?$", plain)
    return long[1] if long else plain


def allele_name(name: str) -> str:
    """Return an allele as the WHO's committee writes it, if it is human; else as it was given.

    Example:
        >>> allele_name("b0702"), allele_name("H-2-Kb")
        ('HLA-B*07:02', 'H-2-Kb')
    """
    parts = _PARTS.match(allele_key(name))
    return f"HLA-{parts[1]}*{parts[2]}:{parts[3]}{parts[4]}" if parts else name.strip()


@dataclass(frozen=True, eq=False)
class Alleles:
    """Alleles with their pseudosequences: the 34 residues that touch a peptide.

    Args:
        pseudosequences: by the name of the allele, in whatever spelling.

    Source: pseudosequences are those of NetMHCpan (Nielsen et al. 2007).

    Example:
        >>> alleles = Alleles({"HLA-A02:01": "YFAMYGEKVAHTHVDTLYVRYHYYTWAVLAYTWY"})
        >>> alleles.find("a*0201")
        ('HLA-A*02:01', 'YFAMYGEKVAHTHVDTLYVRYHYYTWAVLAYTWY')
        >>> alleles.find("HLA-A2")
        Traceback (most recent call last):
        metaprior.errors.DataError: allele 'HLA-A2' is not known; it names a group of alleles: did you mean ...
    """

    pseudosequences: Mapping[str, str]

    def __contains__(self, name: str) -> bool:
        return allele_key(name) in self._all

    def __len__(self) -> int:
        return len(self._all)

    def find(self, name: str) -> tuple[str, str]:
        """Return the name as it should be written, and the pseudosequence; a pseudosequence stands for itself.

        Raises:
            DataError: if the allele is not known; it suggests the nearest one.
        """
        if _PSEUDO.fullmatch(given := name.strip().upper()):
            return given, given
        key = allele_key(name)
        if re.match(r"(?:HLA)?D[PQR]", key):
            raise DataError(f"allele '{name}' is of class II; those that are known here are of class I")
        found = self._all.get(key) or self._all.get(re.sub(r"(?<=\d)[NLSCAQ]$", "", key))
        if found is not None:
            return found
        if group := re.fullmatch(r"HLA([A-Z])(\d{1,2})", key):
            start = f"HLA{group[1]}{int(group[2]):02}"
            first = min((key for key in self._all if re.fullmatch(rf"{start}\d\d", key)), default=None)
            hint = "" if first is None else f": did you mean '{self._all[first][0]}', or another of them?"
            raise DataError(f"allele '{name}' is not known; it names a group of alleles{hint}")
        raise DataError(f"allele '{name}' is not known{self._near(key[:4], (key,))}")

    def subset(self, names: Iterable[str]) -> dict[str, str]:
        """Return the pseudosequences of some alleles, by the names as they should be written."""
        return dict(self.find(name) for name in names)

    @cached_property
    def _all(self) -> dict[str, tuple[str, str]]:
        keyed: dict[str, tuple[str, str]] = {}
        for name, sequence in self.pseudosequences.items():
            keyed.setdefault(allele_key(name), (allele_name(name), sequence))
        return keyed

    def _near(self, start: str, wanted: tuple[str, ...]) -> str:
        keys = [key for key in self._all if key.startswith(start)] or list(self._all)
        close = [key for one in wanted for key in difflib.get_close_matches(one, keys, n=1, cutoff=0.5)]
        return f": did you mean '{self._all[close[0]][0]}'?" if close else ""


def known_alleles() -> Alleles:
    """Return the alleles of the data set `pmhc`: 13,008 names.

    Raises:
        DataError: if it is not on this machine, or damaged.
    """
    name = "pseudosequences.netmhcpan.34aa.csv"
    return _read(data.need("pmhc", f"{name}.gz", name))


@lru_cache(maxsize=2)
def _read(path: Path) -> Alleles:
    try:
        with gzip.open(path, "rt") if path.suffix == ".gz" else open(path) as file:
            return Alleles({row["allele"]: row["pseudosequence"] for row in csv.DictReader(file)})
    except (OSError, EOFError, KeyError, UnicodeDecodeError) as error:
        raise DataError(f"pmhc: {path} cannot be read ({error!r}): delete it and get it again") from error
