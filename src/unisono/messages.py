"""Messages about an input: the register of their codes, findings, and the error that carries them; decides nothing."""

from __future__ import annotations

import os
import re
import sys
import warnings
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

Severity = Literal["error", "warning", "information"]
_SEVERITY: dict[str, Severity] = {"E": "error", "W": "warning", "I": "information"}
_PACKAGE = f"{Path(__file__).parent}{os.sep}"
_UNSEEN = re.compile(
    "[\x00-\x1f\x7f-\x9f\xad\u061c\u180e\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\ud800-\udfff"
    "\U000e0000-\U000e007f]"
)
"""Control characters, ends of lines, turns of the direction of writing, and bytes of file names that are no text."""


@dataclass(frozen=True)
class Message:
    """What a code (E, W or I and three digits) means, and what usually helps: '' where nothing is wrong."""

    code: str
    meaning: str
    remedy: str = ""

    @property
    def severity(self) -> Severity:
        return _SEVERITY[self.code[0]]


_RESTORE = "copy it again from its origin, or make it again"
_ALL_FEATURES = "give the query all measured features, unfiltered"

MESSAGES = (
    Message("E001", "A path does not exist or cannot be read.", "check the path"),
    Message("E002", "A file or folder holds no counts.", "give .h5mu, .h5ad, zarr, a 10x .h5 or a 10x folder"),
    Message("E003", "A file is damaged or incomplete.", "download it again or restore it"),
    Message("E004", "Chunk files of a zarr folder are missing.", _RESTORE),
    Message("W004", "Chunk files of a dense matrix are missing and are read as zeros.", "write the zarr folder again"),
    Message("E005", "Writing of a zarr folder was interrupted.", "write the zarr folder again"),
    Message("E006", "A file is of a format that is not read.", "convert it, as the message says"),
    Message(
        "E007",
        "A modality is missing, unknown, or claimed by two names.",
        "name the kind of each: --modalities gex=rna",
    ),
    Message("I007", "A modality was recognised under another name, or is ignored."),
    Message("E008", "Training needs two modalities and has fewer.", "add the second modality, or name it"),
    Message("E009", "There are no cells, no features, or no counts.", "loosen the filter that removed them"),
    Message("E010", "A modality lacks the layer that was named.", "name one of each: --layer rna=counts,adt=X"),
    Message("W010", "A query lacks the layer of the training counts; X is read.", "name the place: --layer rna=X"),
    Message("E011", "X is empty and no layer was named.", "name the layer of the raw counts"),
    Message("E012", "Values are not integers.", "give the raw counts, or round them with --round"),
    Message(
        "W012",
        "Whole numbers are hardly raw counts: binarised, normalised, or other than a layer of counts.",
        "read the counts: --layer rna=counts",
    ),
    Message("I012", "Fractional counts were rounded, as asked."),
    Message("E013", "Values look log-normalised.", "give the raw counts"),
    Message("E014", "Values are negative: they look scaled or CLR-transformed.", "give the raw counts"),
    Message("E015", "Values are NaN.", "replace or drop them"),
    Message("E016", "Values are infinite or above 2^53.", "replace or drop them"),
    Message("W017", "A sparse matrix was tidied in a copy: duplicates summed, zeros dropped, indices sorted."),
    Message("E018", "The matrix holds no numbers.", "store counts as int32 or float32"),
    Message("W019", "Counts exceed 65,535.", "make sure that they are counts of molecules or fragments"),
    Message("W020", "Cells without counts were left out.", "filter cells by counts"),
    Message("W021", "Some features have one value in every cell.", "drop them"),
    Message("E022", "Feature names are not unique.", "call var_names_make_unique() before building the MuData"),
    Message("I022", "Names of features that occur again in a file of counts were made unique."),
    Message("E023", "Cell names are not unique.", "name each cell once, for example by sample and barcode"),
    Message("I024", "Two modalities share feature names; they are kept apart by modality."),
    Message("W024", "A modality holds features of another one; they are left out.", "take them out of it"),
    Message("I025", "Two modalities hold the same cells in another order; they are joined by name."),
    Message("E026", "No more cells have two modalities than names meet by chance.", "give cells measured in both"),
    Message("W026", "Some cells have one modality only and are used unpaired."),
    Message("E027", "No cell, or too few cells, have two modalities.", "give a cell one name in all of them"),
    Message("W027", "Cells were paired by names without the suffix of their modality or library."),
    Message("E028", "Cells have default names 0..n, which cannot pair them.", "set barcodes as obs_names"),
    Message("E029", "No obs table has the column that was named.", "name one of the columns that are there"),
    Message("I029", "Where the batch column was found, and its levels."),
    Message("W029", "A query lacks the batch column of the training data; its cells count as one new batch.", "add it"),
    Message("E030", "The batch of a cell differs between tables.", "make the tables agree, or drop the wrong column"),
    Message("W030", "Pairs of cells of one name disagree about their sample.", "name cells by sample and barcode"),
    Message("E031", "A column has missing values, or no such level.", "fill it in, or name a level that exists"),
    Message("W032", "Levels of the batch column have few cells.", "merge or drop them"),
    Message("E033", "The batch column looks like a measurement.", "name a column of samples, donors or sites"),
    Message("W034", "Batches are new: they are standardised by their own values.", "give reference cells, or adapt"),
    Message("I035", "The query's features are in another order than the model's; they are matched by name."),
    Message("E036", "The query covers too little of what the model reads.", f"{_ALL_FEATURES}, or use --force"),
    Message("W036", "The query lacks some features of the model; they are treated as not measured.", _ALL_FEATURES),
    Message("I036", "The query has features that the model does not know; they are ignored."),
    Message("E037", "No feature of the query is known to the model.", "rename var_names to the model's kind of name"),
    Message("W037", "A prefix or suffix of names was cut, or their spelling changed, to find features.", "rename them"),
    Message("I038", "Features were found under another name."),
    Message("E039", "Peaks overlap none, or lie on another genome.", "count fragments over the model's peaks"),
    Message("I039", "Peaks were found by overlap."),
    Message("E040", "Names of peaks cannot be read as intervals.", "name peaks like chr1:100-200"),
    Message("W040", "Training peaks are no intervals, or of two spellings.", "name peaks like chr1:100-200"),
    Message("I040", "Training peaks overlap each other; all are kept."),
    Message("E042", "A backing file is gone or cannot be read.", "put the file back, or read the data into memory"),
    Message("E043", "The model lacks a modality that was asked for.", "use one of the model's modalities"),
    Message("W044", "Too few cells have two modalities to validate on.", "give more cells measured in both"),
    Message("W045", "Features are controls or tags, or proteins hardly counted.", "--keep-controls keeps controls"),
    Message("E046", "There are too few cells or features to fit.", "give at least 3 cells and 2 features"),
    Message("W046", "Features are so few that their scale is relative.", "read their predictions as ratios"),
    Message("E047", "A file holds pickled values, which are never read.", "give the folder that save() wrote"),
    Message("E048", "A model was written in a newer format, or by a newer version.", "upgrade unisono"),
    Message("E049", "A model, index or checkpoint is incomplete, was changed, or belongs to another.", _RESTORE),
    Message(
        "E051", "There is not enough memory.", "read cells by rows: unisono convert, then fit from the zarr folder"
    ),
    Message("E052", "The device cannot be used.", "use auto or cpu"),
    Message("E053", "An argument, option or setting has no valid value.", "see unisono COMMAND --help"),
    Message("E054", "A model folder names or links a file outside itself, or holds what is no file.", _RESTORE),
    Message("E055", "The output exists already.", "give --force to replace it, or another name"),
    Message("E056", "The output's folder is missing or not writable.", "create it, or choose another"),
    Message("E057", "Cells to be matched have no cells on the other side.", "give cells on both sides"),
    Message("W057", "Cells to be matched are in no group of the other side.", "give their partners, or no --within"),
    Message("E058", "All cells are of one group: none can be left out.", "name another column, or split at random"),
    Message(
        "W059", "Validation cells are predicted or matched no better than by chance.", "check how cells are paired"
    ),
    Message("E061", "There are too few cells to split.", "give more cells, or ask for fewer training cells"),
    Message("E062", "Groups to split by are not there, or named on both sides.", "name values, each once"),
    Message("E063", "An optional package is missing.", "install it"),
    Message("W063", "The report was not written, as a package is missing.", "pip install plotly jinja2 umap-learn"),
    Message("W064", "Test cells were seen in the fit, with or without their labels.", "score unseen cells"),
    Message("E065", "There is no new batch to adapt to.", "name the new batch in the batch column"),
    Message("W066", "Content and style were not probed, as scikit-learn is missing.", "pip install scikit-learn"),
    Message("W067", "Cells lack the column by which intervals were calibrated.", "add the column"),
    Message("W068", "Some batches did not measure some features; these are masked there."),
    Message("E069", "A data set shares hardly any feature with the others.", "leave it out, or rename its features"),
    Message("I069", "Antibodies of one panel to one protein are added up where data sets are joined."),
    Message("W070", "Cells to be matched were measured unlike those of training.", "trust groups more than partners"),
    Message("W071", "Cells hardly vary in what the model has learned.", "check tissue, species and names of features"),
    Message("W072", "Cells without labels were not matched, and are used one modality at a time."),
    Message("E073", "There is no room to write to, and nothing was changed; exit code 1.", "free space"),
    Message("E074", "The system refused to read or write something.", "check path, permissions and the disk"),
    Message("E075", "The output is what is read, or lies within it; --force does not help.", "give another name"),
    Message("E076", "Another process is writing the output.", "wait for it, or give another name"),
    Message("E077", "An unfinished fit left a checkpoint here.", "--resume continues it, --force begins anew"),
    Message(
        "W077", "A fit starts at epoch 0: no checkpoint is there, or the one that is there is not used.", "--resume"
    ),
    Message("E078", "Training was stopped, as the loss was not finite.", "look at the largest counts, and the weights"),
    Message("W078", "Steps of training were skipped, as the loss was not finite.", "lower learning_rate"),
    Message("W079", "A folder is back that was being replaced when the process was killed."),
    Message("W080", "One cell holds most of the counts.", "drop it, if it is no cell"),
    Message("W081", "Cells or features have no name, or features have default names 0..n.", "name them, or drop them"),
    Message("W082", "Features are of two genomes.", "keep those of one"),
    Message("E083", "A matrix is transposed: features are its rows.", "transpose it: adata = adata.T.copy()"),
    Message("E090", "A public data set is not at hand, and cannot be downloaded.", "set UNISONO_DATA to a mirror"),
    Message("E091", "A download broke off; nothing of it was kept.", "try again"),
    Message("E092", "A download is not what it should be; it is not used.", "download it again later"),
    Message("W092", "A first download could not be checked.", "compare its SHA-256 with somebody else's"),
    Message(
        "E093", "An address of a model on the hub is none.", "give it as hf://owner/name or hf://owner/name@revision"
    ),
    Message("E094", "The hub has no such model or revision, or does not show it to you.", "check the address; log in"),
    Message("E095", "The hub cannot be reached.", "check the network, or name a commit that was fetched before"),
    Message("E096", "The hub refused, or failed.", "log in with a token that may, or try again later"),
    Message("E097", "The files of a model on the hub are too large.", "have it pushed with compact=True"),
    Message("E099", "Something unexpected happened; exit code 1.", "report it; UNISONO_DEBUG=1 shows where"),
)
"""Every message there is, by number; the digits of one subject are shared by its error, warning and information."""

REGISTER = {message.code: message for message in MESSAGES}


def visible(text: str) -> str:
    """The text on one line, with characters that steer a terminal or cannot be seen written as escapes."""
    return _UNSEEN.sub(lambda found: ascii(found[0])[1:-1], text)


_is_shell = False


@contextmanager
def typed_in_shell() -> Iterator[None]:
    """Within this, remedies name options of the command line rather than arguments in Python."""
    global _is_shell
    before, _is_shell = _is_shell, True
    try:
        yield
    finally:
        _is_shell = before


def typed(python: str, shell: str) -> str:
    """What to type, where it is typed: an argument in Python, or an option of the command line."""
    return shell if _is_shell else python


@dataclass(frozen=True)
class Finding:
    """One observation about an input: `code` is one of the register, `where` names file and modality.

    Raises:
        ValueError: the register does not have the code.
    """

    code: str
    where: str
    what: str
    remedy: str = ""

    def __post_init__(self) -> None:
        if self.code not in REGISTER:
            raise ValueError(f"code {self.code!r} is not in the register; add it to MESSAGES in unisono/messages.py")

    @property
    def severity(self) -> Severity:
        return REGISTER[self.code].severity

    def __str__(self) -> str:
        fix = f" Fix: {self.remedy}" if self.remedy else ""
        return visible(f"{self.code} {self.where}: {self.what}{fix}")


class BadInput(ValueError):  # noqa: N818
    """The input cannot be used; the message is one line: the first error, and how many more there are.

    Examples:
        >>> import unisono as un
        >>> try:
        ...     un.load("no-such-model")
        ... except un.BadInput as error:
        ...     finding = error.findings[0]
        >>> finding.code, finding.what
        ('E001', 'no such folder.')
    """

    def __init__(self, findings: Iterable[Finding]) -> None:
        self.findings = tuple(findings)
        errors = [finding for finding in self.findings if finding.severity == "error"]
        more = f" (and {len(errors) - 1} more; unisono check lists all)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0]}{more}")

    def __reduce__(self) -> tuple[type[BadInput], tuple[tuple[Finding, ...]]]:
        """Another process raises the same."""
        return type(self), (self.findings,)


class NoRoom(OSError):  # noqa: N818
    """Nothing more can be written; the message is one line, E073."""

    def __init__(self, number: int, finding: Finding) -> None:
        self.finding = finding
        super().__init__(number, str(finding))

    def __str__(self) -> str:
        return str(self.finding)

    def __reduce__(self) -> tuple[type[NoRoom], tuple[int, Finding]]:
        """Another process raises the same."""
        return type(self), (self.errno or 0, self.finding)


class RankError(RuntimeError):
    """One of several devices that fit together is gone, or differs from the others; the message names its rank."""


class InputWarning(UserWarning):
    """A finding that does not stop the run; `warnings.filterwarnings` can silence or raise it.

    Examples:
        >>> import warnings, unisono as un
        >>> mdata = un.datasets.simulate(n_cells=40, n_genes=30, n_peaks=50, n_proteins=6)
        >>> mdata["adt"].var_names = [*mdata["adt"].var_names[:5], "IgG1_isotype"]
        >>> with warnings.catch_warnings(record=True) as given:
        ...     warnings.simplefilter("always", un.InputWarning)
        ...     cells = un.read_cells(mdata, is_training=True)
        >>> print(given[0].message)  # doctest: +ELLIPSIS
        W045 data, adt: 1 (IgG1_isotype) look like controls or sample tags: left out. Fix: ...
        >>> with warnings.catch_warnings():
        ...     warnings.simplefilter("ignore", un.InputWarning)
        ...     cells = un.read_cells(mdata, is_training=True)
    """


def bad_input(code: str, where: str, what: str, remedy: str) -> BadInput:
    """The error for a single finding, to be raised by the caller."""
    return BadInput([Finding(code, where, what, remedy)])


def refuse(findings: Iterable[Finding]) -> None:
    """Raise a BadInput of all findings where one of them is an error."""
    found = tuple(findings)
    if any(finding.severity == "error" for finding in found):
        raise BadInput(found)


def warn(findings: Iterable[Finding]) -> None:
    """Give every warning among the findings as an `InputWarning`, at the line outside the package that led here."""
    for finding in findings:
        if finding.severity == "warning":
            warnings.warn(str(finding), InputWarning, stacklevel=_caller_level())


def _caller_level() -> int:
    """The `stacklevel` of the first frame outside the package, as seen from the caller of this function."""
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    return level
