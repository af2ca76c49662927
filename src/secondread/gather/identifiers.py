"""Tables of a hospital that name no files but objects, series, examinations or patients, joined to DICOM headers."""

from __future__ import annotations

import pandas as pd

from secondread.core.errors import BadData
from secondread.gather.columns import NamesNoFile, words
from secondread.gather.files import Listing
from secondread.gather.found import Found
from secondread.gather.table import Given, from_content
from secondread.gather.table_files import read_table_file

ACCESSION = "AccessionNumber"
IDENTIFIERS = ("SOPInstanceUID", "SeriesInstanceUID", ACCESSION, "StudyInstanceUID", "PatientID")
"""From one image to all of a patient; of two that fit as many images the narrower is meant."""
FILE = "file of the tree"


def by_identifier(there: Listing, headers: pd.DataFrame, name: str, given: Given) -> Found:
    """Rows for the images whose headers hold what a column of the table `name` holds; the row's label is that of all.

    Raises `NamesNoFile` where no column does, `BadData` where rows of one identifier say different things.
    """
    content = read_table_file(there.root / name)
    column, identifier = _matching(content, headers)
    told = content.assign(**{identifier: words(content[column])}).drop_duplicates()
    several = told.loc[told[identifier].notna() & told[identifier].duplicated(), identifier]
    met = several[several.isin(headers[identifier])]
    if len(met):
        raise BadData(
            f"the table {name} has rows that differ for the same {identifier} (first: {met.iloc[0]}): give one row for "
            "each, or a column with narrower identifiers, such as SOPInstanceUID"
        )
    there_too = headers.loc[headers[identifier].notna(), ["path", identifier]].rename(columns={"path": FILE})
    rows = there_too.merge(told, on=identifier, how="inner")
    if identifier not in content:
        rows = rows.drop(columns=identifier)
    found = from_content(there, name, rows, {**given, "path": FILE})
    found.notes.insert(1, f"the column {column} holds {identifier}: the label of a row is that of all images with it")
    return found


def _matching(content: pd.DataFrame, headers: pd.DataFrame) -> tuple[str, str]:
    """The column and the identifier of headers that fit the most images."""
    best, most = ("", ""), 0
    for identifier in IDENTIFIERS:
        for column in map(str, content.columns):
            hits = int(headers[identifier].isin(set(words(content[column]).dropna())).sum())
            if hits > most:
                best, most = (column, identifier), hits
    if not most:
        raise NamesNoFile(
            "no column of the table names the image files by path or name, nor by what their headers hold "
            f"({', '.join(IDENTIFIERS)}); set path: COLUMN"
        )
    return best
