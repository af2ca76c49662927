"""One set's rows in the classes of another."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import pytest

from secondread.core.errors import BadData
from secondread.core.tables import Dataset, Task
from secondread.gather.aligned import Gathered, aligned

NAN = np.nan


def found(task: Task, classes: Sequence[str], values: Sequence[Sequence[float]]) -> Gathered:
    rows = pd.DataFrame({"row_id": [f"{at}.png" for at in range(len(values))]})
    return Gathered(rows, Dataset(task, list(classes), "/data", "table", "", {}, []), np.asarray(values, np.float32))


def test_names_match_whatever_their_case_and_spaces() -> None:
    given = found("binary", ["no finding", "PNEUMONIA"], [[1, 0], [0, 1]])
    made = aligned(given, ["Pneumonia", "No_Finding"], "binary", "there")
    assert made.dataset.classes == ["Pneumonia", "No_Finding"]
    assert made.values.tolist() == [[0, 1], [1, 0]]


def test_names_of_which_two_are_alike_must_be_written_exactly() -> None:
    given = found("binary", ["a", "A"], [[1, 0], [0, 1]])
    assert aligned(given, ["A", "a"], "binary", "there").values.tolist() == [[0, 1], [1, 0]]


def test_a_class_that_is_not_there_has_no_cases() -> None:
    given = found("binary", ["normal", "covid"], [[1, 0], [0, 1]])
    made = aligned(given, ["covid", "normal", "pneumonia"], "multiclass", "there")
    assert made.dataset.task == "multiclass"
    assert made.values.tolist() == [[0, 1, 0], [1, 0, 0]]


def test_of_many_labels_what_is_not_said_stays_unsaid() -> None:
    given = found("binary", ["healthy", "Edema"], [[1, 0], [0, 1]])
    made = aligned(given, ["Effusion", "edema"], "multilabel", "there")
    np.testing.assert_array_equal(made.values, np.array([[NAN, 0], [NAN, 1]], np.float32))
    assert made.dataset.task == "multilabel"


@pytest.mark.parametrize(
    ("given", "told"),
    [
        (found("binary", ["cat", "dog"], [[1, 0], [0, 1]]), "none of its classes (cat, dog) is one of normal, sick"),
        (found("binary", ["normal", "dog"], [[1, 0], [0, 1]]), "class 'dog' is none of normal, sick: map it"),
        (found("multilabel", ["normal", "sick"], [[1, 1], [0, 1]]), "rows with none or several of the classes"),
    ],
)
def test_what_does_not_fit_is_refused(given: Gathered, told: str) -> None:
    with pytest.raises(BadData, match="there: ") as refused:
        aligned(given, ["normal", "sick"], "binary", "there")
    assert told in str(refused.value)
