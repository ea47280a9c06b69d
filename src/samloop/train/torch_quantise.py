"""A base held in four bits on torch: bitsandbytes' NF4, on CUDA and on the CPU."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Final

import numpy as np

from samloop.errors import MissingExtraError, ModelError

try:
    import torch
    from safetensors import safe_open
except ImportError:
    raise MissingExtraError("torch", "a base in four bits on torch") from None
from samloop.train.base import Base
from samloop.train.quantise import NONE, method

NF4: Final = "nf4"

NF4_STEP: Final = 0.16
"""Half the widest gap between two neighbours of NF4's sixteen values, in units of a block's largest: no weight is
moved by more."""


def options(base: Base, form: str, *, dtype: torch.dtype, device: torch.device) -> dict[str, Any]:
    """What `from_pretrained` has to be told beside the dtype to load `base` in `form`.

    Raises:
        ModelError: the files are quantised in a way that torch does not train on, or bitsandbytes does not work here.
        MissingExtraError: bitsandbytes is not installed.
    """
    made_by = method(base.config)
    if made_by not in (None, "bitsandbytes"):
        other = "train.backend = 'mlx' loads it; or " if made_by == "mlx" else ""
        raise ModelError(
            f"the model in {base.folder} is quantised by {made_by}, which the backend torch does not train on; "
            f"{other}take the model it was made from, with train.quantise = '4bit'"
        )
    if form == NONE and made_by is None:
        return {}
    if form not in (NONE, NF4):
        raise ModelError(
            f"the backend torch has no form '{form}' of a quantised base; train with train.quantise = '4bit', or "
            "answer with the backend that the adapter was trained on"
        )
    _see_that_it_works(device)
    placed = {"device_map": {"": device}}
    if made_by is not None:
        return placed
    from transformers import BitsAndBytesConfig

    four_bits = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=NF4, bnb_4bit_compute_dtype=dtype)
    return {**placed, "quantization_config": four_bits}


BLOCKS: Final = (64, 32)
"""Weights that share one scale: 64, and 32 where the rows of a matrix on the CPU do not divide into 64.

The CPU's kernel reads a block that goes on in the next row with the wrong scale and says nothing: the weights are
then off by 25 % instead of 9 %.
"""


def settle(model: Any, base: Base) -> None:
    """Have the loaded layers compute rightly, and the same in training and in answering.

    On processors with bfloat16, bitsandbytes repacks a layer at the first pass without gradients and rounds its
    scales: the base would answer otherwise than it was trained on, and layers so packed give no gradient.

    Raises:
        ModelError: the rows of a matrix do not divide into blocks.
    """
    for name, module in model.named_modules():
        if not hasattr(module, "support_avx512bf16_for_cpu"):
            continue
        module.support_avx512bf16_for_cpu = False
        block = _block(module.in_features, module.weight.device)
        if block is None or (block != module.weight.quant_state.blocksize and method(base.config) is not None):
            raise ModelError(
                f"{name} of the model in {base.folder} is {module.in_features} wide, and bitsandbytes computes "
                f"rightly on the CPU with multiples of {BLOCKS[-1]} alone; set train.quantise to '{NONE}'"
            )
        if block != module.weight.quant_state.blocksize:
            _pack_anew(module, f"{name}.weight", base, block)


def _block(width: int, device: torch.device) -> int | None:
    """The widest block that computes rightly; None where none does."""
    return next((block for block in BLOCKS if device.type != "cpu" or width % block == 0), None)


def _pack_anew(module: Any, name: str, base: Base, block: int) -> None:
    """Quantise one matrix from the base's files again, in blocks of another size."""
    from bitsandbytes.nn import Params4bit

    for path in base.weight_files:
        with safe_open(path, "pt") as file:
            if name in file.keys():  # noqa: SIM118  no mapping
                whole = file.get_tensor(name).to(module.weight.quant_state.dtype)
                packed = Params4bit(
                    whole,
                    requires_grad=False,
                    compress_statistics=False,
                    quant_type=NF4,
                    blocksize=block,
                    module=module,
                )
                module.weight = packed.to(module.weight.device)
                module.quant_state = module.weight.quant_state
                return
    raise ModelError(f"the files of the model in {base.folder} lack {name}; download it again")


def rounded() -> Callable[[np.ndarray, str], np.ndarray]:
    """A function that gives a float32 matrix as a base loaded with `options` has it.

    Raises:
        MissingExtraError: bitsandbytes is not installed.
        ModelError: it does not work on this machine.
    """
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    _see_that_it_works(device)
    from bitsandbytes import functional

    def through(matrix: np.ndarray, _kind: str) -> np.ndarray:
        whole, block = torch.from_numpy(matrix).to(device), _block(matrix.shape[-1], device) or BLOCKS[-1]
        packed, state = functional.quantize_4bit(whole, blocksize=block, quant_type=NF4)
        return np.asarray(functional.dequantize_4bit(packed, state).cpu().numpy())

    return through


def _see_that_it_works(device: torch.device) -> None:
    """Quantise a few numbers and look at what comes back: a library without its machine code says so only here."""
    # It names a package that downloads machine code, as something one should install.
    logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
    try:
        import accelerate  # noqa: F401  transformers asks for it here, in a sentence of its own
        from bitsandbytes import functional
    except ImportError:
        raise MissingExtraError("quantise", "a base in four bits (train.quantise)") from None
    numbers = torch.linspace(-1, 1, 128, device=device)
    try:
        packed, state = functional.quantize_4bit(numbers, quant_type=NF4)
        works = bool((functional.dequantize_4bit(packed, state) - numbers).abs().max() < NF4_STEP)
        why = "it gives wrong numbers"
    except Exception as error:  # whatever a native library raises
        works, why = False, (str(error).strip() or type(error).__name__).splitlines()[0].rstrip(". ")
    if not works:
        raise ModelError(
            f"bitsandbytes does not work on this machine's {device.type} ({why}); install another version of it, "
            f"or set train.quantise to '{NONE}', which takes about five times the memory for the weights"
        )
