"""report.html: figures, tables and words from the record of the study."""

from __future__ import annotations

from dataclasses import replace

from secondread.core.files import write_text
from secondread.core.spec import Study
from secondread.core.studydir import StudyDir
from secondread.evaluate import (
    part_cases,
    part_codes,
    part_data,
    part_made,
    part_methods,
    part_results,
    part_subsets,
    part_training,
    summary,
)
from secondread.evaluate.gallery import Gallery
from secondread.evaluate.leakage import stamp
from secondread.evaluate.lookup import Lookup
from secondread.evaluate.record import Record, read_record
from secondread.evaluate.result_tables import result_tables
from secondread.evaluate.traces import Traces
from secondread.pages.blocks import Report, Section
from secondread.pages.document import render
from secondread.pages.numbers import Number
from secondread.pages.tables import Name, latex, markdown


def write_report(study: Study, where: StudyDir) -> None:
    """Write report.html, figures/ and tables/ from what the unit `scores` left."""
    record = read_record(study, where)
    mark = stamp(study, record.evidence.leaky)
    for table in [*result_tables(record), *part_subsets.subset_tables(record)]:
        name = table.name.removeprefix("table-")
        table = replace(table, note=f"{mark}. {table.note}" if mark else table.note)
        write_text(where.evaluate / "tables" / f"{name}.tex", latex(table))
        write_text(where.evaluate / "tables" / f"{name}.md", markdown(table))
    write_text(where.report, render("report.html.j2", report=report_of(record, Gallery(where.figures, mark))))


def report_of(record: Record, gallery: Gallery) -> Report:
    traces, cache = Traces(record), part_data.open_cache(record)
    found: list[Section | None] = [
        part_results.results_section(record, gallery, traces),
        part_results.comparisons_section(record, gallery),
        part_results.calibration_section(record, gallery, traces),
        part_subsets.subsets_section(record, gallery),
        part_training.training_section(record, gallery),
        part_data.data_section(record, gallery, cache),
        part_made.synthetic_section(record, gallery),
        part_codes.codes_section(record, gallery),
        part_cases.cases_section(record, gallery, cache),
        part_made.heatmap_section(record),
        part_made.bundle_section(record, gallery),
        part_methods.methods_section(record),
    ]
    return Report(
        title=record.study.study,
        about=record.study.about,
        facts=facts(record),
        banners=summary.banners(record),
        sentences=summary.sentences(record),
        tiles=summary.tiles(record),
        sections=[section for section in found if section is not None],
        footer="secondread. For research and education, not a medical device.",
    )


def facts(record: Record) -> list[tuple[str, str | Number | Name]]:
    look = Lookup.of(record)
    return [
        ("Task", record.task),
        ("Classes", Name(", ".join(record.classes))),
        ("Trials", look.cohort("all", "trials")),
        ("Test images", look.cohort("test", "images")),
        ("Validation images", look.cohort("val", "images")),
    ]
