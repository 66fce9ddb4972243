"""Model directory -> encoder, decoder and autoencoder as files that other programs load: ONNX, or torch.export's."""

import copy
import io
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
import torch
from torch import Tensor, nn

from ae_model.configuration import count_parameters
from ae_model.ensemble import check_is_one
from ae_model.errors import UserError
from ae_model.loading import load_model
from ae_model.persistence import TrainedAutoencoder
from ae_model.scaling import Scaling
from search.execution.native_stderr import native_stderr_in
from search.files import replace_file

ExportFormat = Literal["onnx", "pt2"]
PART_NAMES = ("encoder", "decoder", "autoencoder")
TOLERANCE = 1e-5
"""How far what a file gives may be from what the model gives, as a part of the data's range."""
_BATCHES = (1, 7, 64)
"""The numbers of rows that a file is tried with."""
_DYNAMIC = ({0: torch.export.Dim("rows")},)
_MAX_PARAMETERS = 2**29 - 2**20
"""An ONNX file in one piece is smaller than 2 GiB, and a parameter has 4 bytes."""


def export_model(
    model_dir: str | Path,
    output_dir: str | Path | None = None,
    format: ExportFormat = "onnx",  # noqa: A002  # what everybody calls it
) -> list[Path]:
    """Write a model as three files that are loaded without this program: encoder, decoder, and both in a row.

    The scaling is inside. `encoder` takes `samples`, float32 `(rows, features)` in the data's own units, and gives
    `code`, float32 `(rows, code_size)`; `decoder` takes `code` and gives `reconstruction`, float32 `(rows, features)`
    in the data's own units; `autoencoder` takes `samples` and gives `reconstruction`. There may be any number of rows.
    Each is loaded again and compared with the model before anything is written.

    Args:
        model_dir: A model directory.
        output_dir: Where they are written; it is made if it is missing. The model directory if None.
        format: "onnx" for ONNX, which needs the extra `onnx` and computes in float32; "pt2" for what
            `torch.export.load` reads, in the model's own precision.

    Returns:
        The files.

    Raises:
        UserError: If there is no model, no such format, a package is missing, the files cannot be written, or what they
            give differs from what the model gives by more than 1e-5 of the data's range; then none is written.
    """
    if format not in get_args(ExportFormat):
        raise UserError(
            f"format must be one of {', '.join(get_args(ExportFormat))}, but is {format!r}. Change it.",
            argument="format",
        )
    trained = load_model(model_dir)
    check_is_one(trained, model_dir, "export")
    dtype = next(trained.model.parameters()).dtype
    if format == "onnx":
        _check_packages()
        dtype = torch.float32  # onnxruntime has no ELU, leaky ReLU and GELU of others
        if count_parameters(trained.model.layer_sizes) > _MAX_PARAMETERS:
            raise UserError(
                f"format 'onnx' takes models of at most {_MAX_PARAMETERS} parameters, but the one in {model_dir} has "
                f"{count_parameters(trained.model.layer_sizes)}. Take 'pt2'.",
                argument="format",
            )
    directory = Path(model_dir if output_dir is None else output_dir)
    with _quiet():
        contents = {
            directory / f"{part.name}.{format}": _checked_content(part, format) for part in _parts(trained, dtype)
        }
    try:
        directory.mkdir(parents=True, exist_ok=True)
        for path, content in contents.items():
            replace_file(path, partial(Path.write_bytes, data=content))
    except OSError as error:
        raise UserError(
            f"{directory}: cannot be written ({error.strerror or error}). Give another OUTPUT_DIR."
        ) from error
    return list(contents)


def _check_packages() -> None:
    """Raise UserError if torch.onnx lacks the packages that it needs, which not everybody has."""
    try:
        with _quiet():
            import onnx  # noqa: F401
            import onnxscript  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"format 'onnx' needs the packages onnx and onnxscript, but {error.name} is not installed. Install them "
            "with: pip install 'ae-search[onnx]'. Or take 'pt2'.",
            argument="format",
        ) from error


class _Encoder(nn.Module):
    """Samples in the data's own units to codes, as `TrainedAutoencoder.encode` computes them."""

    scale: Tensor
    shift: Tensor

    def __init__(self, layers: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("scale", torch.from_numpy(scaling.scale))
        self.register_buffer("shift", torch.from_numpy(scaling.shift))
        self.dtype = next(layers.parameters()).dtype

    def forward(self, samples: Tensor) -> Tensor:
        # In float64: far from 0, a feature's scale times its value has more digits than float32.
        code: Tensor = self.layers((samples.double() * self.scale + self.shift).to(self.dtype))
        return code.float()


class _Decoder(nn.Module):
    """Codes to samples in the data's own units, as `TrainedAutoencoder.decode` computes them."""

    scale: Tensor
    shift: Tensor

    def __init__(self, layers: nn.Module, scaling: Scaling) -> None:
        super().__init__()
        self.layers = layers
        self.register_buffer("scale", torch.from_numpy(scaling.scale))
        self.register_buffer("shift", torch.from_numpy(scaling.shift))
        self.dtype = next(layers.parameters()).dtype

    def forward(self, code: Tensor) -> Tensor:
        scaled: Tensor = self.layers(code.to(self.dtype)).float()
        return ((scaled.double() - self.shift) / self.scale).float()


class _Autoencoder(nn.Module):
    def __init__(self, encoder: nn.Module, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = encoder
        self.decoder = decoder

    def forward(self, samples: Tensor) -> Tensor:
        reconstruction: Tensor = self.decoder(self.encoder(samples))
        return reconstruction


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Part:
    """One of the three files."""

    name: str
    module: nn.Module
    input_name: str
    output_name: str
    rows: np.ndarray
    """What it is tried with, float32."""
    expected: np.ndarray
    """What the model makes of that, float32."""
    tolerance: np.ndarray
    """How far its outputs may be from that, in their units."""


def _parts(trained: TrainedAutoencoder, dtype: torch.dtype) -> list[_Part]:
    """The three files, whose layers compute in a type, with what each is compared with."""
    scaling = trained.scaling
    scaled = np.random.default_rng(0).uniform(-1, 1, (max(_BATCHES), len(scaling.scale)))
    samples = scaling.inverse(scaled).astype(np.float32)
    code = trained.encode(samples)
    reconstruction = trained.decode(code)
    of_code = np.array(TOLERANCE * max(np.abs(code).max(), 0.1))
    # A reconstruction far from 0 cannot be nearer than float32 rounds.
    spread = np.maximum(2 / scaling.scale, np.ptp(reconstruction, axis=0))
    of_reconstruction = TOLERANCE * spread + 2 * np.spacing(np.abs(reconstruction))
    encoder = _Encoder(copy.deepcopy(trained.model.encoder).to(dtype), scaling)
    decoder = _Decoder(copy.deepcopy(trained.model.decoder).to(dtype), scaling)
    both = _Autoencoder(encoder, decoder)
    forms = {
        "encoder": (encoder, "samples", "code", samples, code, of_code),
        "decoder": (decoder, "code", "reconstruction", code, reconstruction, of_reconstruction),
        "autoencoder": (both, "samples", "reconstruction", samples, reconstruction, of_reconstruction),
    }
    return [
        _Part(
            name=name,
            module=module.eval(),
            input_name=given,
            output_name=made,
            rows=rows,
            expected=expected,
            tolerance=np.broadcast_to(tolerance, expected.shape),
        )
        for name, (module, given, made, rows, expected, tolerance) in forms.items()
    ]


def _checked_content(part: _Part, format_: ExportFormat) -> bytes:
    """The content of a file; raises UserError if what it gives is not what the model gives."""
    content = _to_onnx(part) if format_ == "onnx" else _to_pt2(part)
    apply = _onnx_function(content, part) if format_ == "onnx" else _pt2_function(content)
    for n in _BATCHES:
        error = np.abs(apply(part.rows[:n]).astype(np.float64) - part.expected[:n]) / part.tolerance[:n]
        if not error.max() <= 1:  # nor NaN
            other = "pt2" if format_ == "onnx" else "onnx"
            raise UserError(
                f"{part.name}.{format_}: must give what the model gives to {TOLERANCE:g} of the data's range, but "
                f"differs by {TOLERANCE * error.max():.1g}, and nothing was written. Take {other!r}.",
                argument="format",
            )
    return content


def _to_pt2(part: _Part) -> bytes:
    example = torch.from_numpy(part.rows[:2])
    exported = torch.export.export(part.module, (example,), dynamic_shapes=_DYNAMIC)
    for node in exported.graph.nodes:
        node.meta.pop("stack_trace", None)  # it names folders of this machine
    file = io.BytesIO()
    torch.export.save(exported, file)
    return file.getvalue()


def _pt2_function(content: bytes) -> Callable[[np.ndarray], np.ndarray]:
    module = torch.export.load(io.BytesIO(content)).module()

    def apply(rows: np.ndarray) -> np.ndarray:
        with torch.no_grad():
            values: np.ndarray = module(torch.from_numpy(rows)).numpy()
        return values

    return apply


def _to_onnx(part: _Part) -> bytes:
    example = torch.from_numpy(part.rows[:2])
    program = torch.onnx.export(
        part.module,
        (example,),
        dynamo=True,
        input_names=[part.input_name],
        output_names=[part.output_name],
        dynamic_shapes=_DYNAMIC,
        verbose=False,
    )
    assert program is not None, "it is None without dynamo alone"
    for node in program.model.graph:
        node.metadata_props.clear()  # they name folders of this machine
    content: bytes = program.model_proto.SerializeToString()
    return content


def _onnx_function(content: bytes, part: _Part) -> Callable[[np.ndarray], np.ndarray]:
    """By onnxruntime; where that is not installed by ONNX's own reference, which is slow."""
    try:
        import onnxruntime  # an extra, and slow to import
    except ModuleNotFoundError:
        import onnx
        from onnx.reference import ReferenceEvaluator

        session: Any = ReferenceEvaluator(onnx.load_from_string(content))
    else:
        session = onnxruntime.InferenceSession(content, providers=["CPUExecutionProvider"])

    def apply(rows: np.ndarray) -> np.ndarray:
        values: np.ndarray = session.run([part.output_name], {part.input_name: rows})[0]
        return values

    return apply


@contextmanager
def _quiet() -> Iterator[None]:
    """Without what torch's exporter and onnxruntime say on their way."""
    with (
        tempfile.TemporaryDirectory() as folder,
        native_stderr_in(Path(folder) / "stderr.log"),
        redirect_stdout(io.StringIO()),
        redirect_stderr(io.StringIO()),
        warnings.catch_warnings(),
    ):
        warnings.simplefilter("ignore")
        yield
