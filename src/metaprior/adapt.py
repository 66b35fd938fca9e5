"""Adapt a prior to a task of one's own: files with labels in, predictions for other files out.

Axis letters: Q query, C classes.
"""

import csv
import io
import math
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn

from metaprior.checkpoint import load, read_card
from metaprior.errors import DataError, ShapeError
from metaprior.files import check_writable, write_text
from metaprior.predict import believe, deviation, predict_rows
from metaprior.prior import Prior
from metaprior.tasks.own import OwnTask, read_task
from metaprior.tasks.rows import kept_names
from metaprior.tasks.scores import restrict

__all__ = ["Predictions", "adapt"]


@dataclass(frozen=True)
class Predictions:
    """A row for each query, in the order of the queries.

    Args:
        columns: the names of the columns.
        rows: a value for each column.
        understood: how the columns of the files were read, a sentence for each property, for a user to check.

    Example:
        >>> predictions = Predictions(("file", "prediction"), (("a.png", "cat"), ("b.png", "dog")))
        >>> predictions["prediction"], len(predictions)
        (['cat', 'dog'], 2)
    """

    columns: tuple[str, ...]
    rows: tuple[tuple[Any, ...], ...]
    understood: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.rows)

    def __getitem__(self, column: str) -> list[Any]:
        position = self.columns.index(column)
        return [row[position] for row in self.rows]

    def to_csv(self) -> str:
        """Return a CSV with a header; a number has six significant digits, what is unknown is empty."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        writer.writerows([_cell(value) for value in row] for row in self.rows)
        return text.getvalue()


def adapt(
    prior: Prior | str | Path,
    support: str | Path | None,
    query: str | Path,
    out: str | Path | None = None,
    *,
    inputs: Mapping[str, Any] | None = None,
    net: nn.Module | None = None,
    device: str | torch.device | None = None,
    skip_bad: bool = False,
    target: str | Sequence[str] | None = None,
    kind: Literal["auto", "classification", "regression"] = "auto",
    smiles: str | None = None,
    sequence: str | None = None,
    about: str | None = None,
) -> Predictions:
    """Adapt a prior to labelled files and predict others.

    A classification has the columns `prediction`, `probability_<class>` for each class, and `uncertainty`, the entropy
    of these probabilities divided by the logarithm of the number of classes: 0 is certain, 1 knows nothing. A
    regression has `prediction` and `uncertainty`, the standard deviation of what will be measured, so that 95 % of the
    measurements should lie within 1.96 of them. Where the prior does not know it, a jackknife over the support rows
    tells: the prior is adapted once more without each of them (without each of 50 groups of them, if they are more),
    all at once as tasks of their own, and what is left out is compared with what is predicted for it. It is empty
    where fewer than two rows have labels, or all of these are equal.

    Molecules have two columns more, which tell how far the prior applies: `similarity_to_support` and
    `similarity_to_acquired` are the highest Tanimoto similarities to a molecule of the support, and of a sample of
    those of acquisition. Where several properties are predicted, their names come before those of their columns. So do
    sequences of amino acids, their similarities those of words of three letters. An affinity in nM is predicted in nM,
    and its uncertainty is a standard deviation in powers of ten.

    Args:
        prior: a folder that `acquire` wrote, a checkpoint file, `zoo:NAME`, a prior that was loaded from one of these,
            or any prior together with `inputs`.
        support: the examples to adapt to: a folder with a folder of images for each class; a CSV with the columns
            and the target that the prior was acquired on; or a CSV or SDF of molecules, or a CSV of sequences, with
            columns of labels. None for a prior that is told by `about` what a task is, and can do without labels.
        query: what to predict: a folder of images, at any depth, a CSV, an SDF, or FASTA. Its columns that are no
            features are kept, and all of them if it holds molecules or sequences.
        out: a CSV file to write; None to write nothing.
        inputs: how files become inputs; None for what the checkpoint says.
        net: the network, if it is of a class that no registry knows.
        device: where to compute; None for where the prior is, which for a file is the CPU.
        skip_bad: leave out bad images or rows, with a warning, instead of stopping at the first.
        target: the columns to predict of molecules or sequences; None for those that the support has and the query
            lacks.
        kind: of these columns: classes or values; "auto" takes text, and at most ten different whole numbers, for
            classes.
        smiles: the column that holds the SMILES of molecules; None to find it.
        sequence: the column that holds sequences of amino acids; None to find it.
        about: what the task is about, for a prior that is told so: an epitope, or an allele in any spelling; None to
            read it from the column `epitope` or `allele`.

    Returns:
        A row for each query, in the order of the rows of the CSV or of the paths of the images.

    Raises:
        DataError: if support or query cannot be read, or do not fit the prior.
        CheckpointError: if the prior cannot be read.

    Example:
        >>> import tempfile
        >>> from metaprior import ProtoNet
        >>> folder = Path(tempfile.mkdtemp())
        >>> _ = (folder / "support.csv").write_text("size,target\\n1,small\\n2,small\\n8,large\\n9,large\\n")
        >>> _ = (folder / "query.csv").write_text("id,size\\nk7,3\\nk8,7.5\\n")
        >>> size = {"name": "size", "kind": "number", "mean": 5.0, "scale": 3.0, "missing": False}
        >>> target = {"name": "target", "kind": "classification", "classes": None}
        >>> inputs = {"kind": "table", "task": "task", "columns": [size], "target": target}
        >>> prior = ProtoNet(nn.Flatten())
        >>> print(adapt(prior, folder / "support.csv", folder / "query.csv", inputs=inputs).to_csv(), end="")
        id,prediction,probability_large,probability_small,uncertainty
        k7,small,0.0426512,0.957349,0.254319
        k8,large,0.979942,0.0200575,0.141763
    """
    if out is not None:
        check_writable(out)
        if Path(out).suffix.lower() not in ("", ".csv", ".txt"):
            raise DataError(f"out: predictions are written as CSV; expected a name that ends in .csv, got {out}")
        for name, file in (("support", support), ("query", query)):
            if isinstance(file, str | Path) and Path(out).resolve() == Path(file).resolve():
                raise DataError(f"out: {out} is the {name}, which would be lost; name another file")
    prior, inputs = _resolved(prior, inputs, net, device)
    tasks = _tasks(support, query, inputs, target, kind, smiles, sequence, about, skip_bad)
    training = prior.training
    columns: list[str] = []
    rows: list[tuple[Any, ...]] = [() for _ in tasks[0].known]
    try:
        for task in tasks:
            names, values = _predicted(prior.eval(), task)
            columns += [f"{task.name}_{name}" if task.name else name for name in names]
            rows = [(*row, *value) for row, value in zip(rows, values, strict=True)]
    finally:
        prior.train(training)
    given = tasks[0]
    columns += given.beside
    rows = [(*row, *fact) for row, fact in zip(rows, given.facts or [()] * len(rows), strict=True)]
    result = Predictions(
        (*kept_names(given.columns, columns, "query"), *columns),
        tuple((*known, *row) for known, row in zip(given.known, rows, strict=True)),
        tuple(task.understood for task in tasks if task.understood),
    )
    if out is not None:
        write_text(Path(out), result.to_csv())
    return result


def _tasks(
    support: str | Path | None,
    query: str | Path,
    inputs: Mapping[str, Any],
    target: str | Sequence[str] | None,
    labels: Literal["auto", "classification", "regression"],
    smiles: str | None,
    sequence: str | None,
    about: str | None,
    skip_bad: bool,
) -> list[OwnTask]:
    """Return the tasks that the files state: one, or one for each property of molecules or sequences."""
    kind = inputs.get("kind")
    if kind != "sequences" and (sequence is not None or about is not None):
        raise DataError("sequence, about: they are for sequences; the prior was acquired on other inputs")
    if kind != "molecules" and smiles is not None:
        raise DataError("smiles: it is for molecules; the prior was acquired on other inputs")
    if support is None and kind != "sequences":
        raise DataError(
            "support: expected labelled examples; only priors for sequences, told what a task is, can do without"
        )
    if kind in ("molecules", "sequences"):
        from metaprior.molecules.own import read_properties, read_unlabelled

        if support is None:
            return [read_unlabelled(query, inputs, sequence, skip_bad, about)]
        column = smiles if kind == "molecules" else sequence
        return read_properties(support, query, inputs, target, column, skip_bad, about, labels)
    for name, given in (("target", target is not None), ("kind", labels != "auto")):
        if given:
            raise DataError(f"{name}: it is for molecules and sequences; the prior was acquired on other inputs")
    assert support is not None
    return [read_task(support, query, inputs, skip_bad)]


def _resolved(
    prior: Prior | str | Path,
    inputs: Mapping[str, Any] | None,
    net: nn.Module | None,
    device: str | torch.device | None,
) -> tuple[Prior, Mapping[str, Any]]:
    if isinstance(prior, Prior):
        inputs = prior.recorded_inputs if inputs is None else inputs
        if inputs is None:
            raise DataError(
                "inputs: expected how files become inputs, since a prior without its checkpoint says nothing"
            )
        return (prior if device is None else prior.to(device)), inputs
    given = inputs if inputs is not None else read_card(prior).get("inputs")
    if given is None:
        raise DataError(
            f"prior: {prior} does not say how files become inputs; acquire it on images, a table or molecules; "
            "one that makes fields is adapted by 'metaprior generate --views'"
        )
    return load(prior, net, device or "cpu"), given


def _predicted(prior: Prior, task: OwnTask) -> tuple[list[str], list[tuple[Any, ...]]]:
    """Return the columns that the prior adds, and their values."""
    if getattr(prior, "about_size", None) and task.about is None:
        warnings.warn(
            "about: the prior is told what a task is about, not known here: give it by `about`, or in a column",
            stacklevel=3,
        )
    device = next(chain(prior.parameters(), prior.buffers()), torch.empty(0)).device
    support, x = task.support.to(device), task.query.to(device)
    about = None if task.about is None else task.about.to(device)
    try:
        state = believe(prior, support, None if task.classes is None else len(task.classes), about)
    except ShapeError as error:
        what = "values" if task.classes is None else "classes"
        raise DataError(
            f"target: {task.name or 'the labels'}: {what} were given, which the prior was not acquired on ({error}); "
            "name another column, or its kind"
        ) from error
    prediction = predict_rows(prior, state, x)
    if task.classes is not None:
        return _classified(prediction[0], task.classes)
    values = prediction[0, :, 0].double() * task.scale + task.mean
    spread = deviation(prior, state, support, x, about)[0, :, 0].double() * (abs(task.scale) or math.nan)
    values = 10**values if task.logarithm else values
    return ["prediction", "uncertainty"], list(zip(values.tolist(), spread.tolist(), strict=True))


def _classified(logits: Tensor, classes: list[str]) -> tuple[list[str], list[tuple[Any, ...]]]:
    probabilities = restrict(logits[None], torch.tensor([len(classes)], device=logits.device))[0].double().softmax(-1)
    probabilities = probabilities[:, : len(classes)]
    entropy = -torch.special.xlogy(probabilities, probabilities).sum(-1) / math.log(len(classes))
    best = probabilities.argmax(-1).tolist()
    rows = zip(best, probabilities.tolist(), entropy.clamp(0, 1).tolist(), strict=True)
    columns = ["prediction", *(f"probability_{name}" for name in classes), "uncertainty"]
    return columns, [(classes[index], *shares, spread) for index, shares, spread in rows]


def _cell(value: Any) -> Any:
    if isinstance(value, float):
        return "" if math.isnan(value) else f"{value:.6g}"
    return "" if value is None else value
