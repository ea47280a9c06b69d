"""Leaner passes for modules that transformers and PEFT write out operation by operation; same values, less memory.

What autograd keeps of `silu(gate) * up` is four arrays of the widest size in the model, of an RMSNorm three in
float32, of a LoRA layer a float32 copy of its input. Each function here keeps what its backward pass cannot do
without, and recomputes the rest from it in passing. Modules of classes that are not listed stay as they are.
"""

from __future__ import annotations

from functools import partial
from typing import Any, Final

import torch
from peft.tuners.lora import Linear as PeftLinear
from torch.nn import functional

FAMILIES: Final = ("Llama", "Mistral", "Qwen2", "Qwen3")
"""Architectures whose RMSNorm and MLP are, word for word, the ones that are replaced here."""

SILU: Final = ("SiLU", "SiLUActivation")
"""What torch and transformers call the one activation that the leaner MLP computes."""


def make_lean(model: torch.nn.Module) -> None:
    """Have the norms, the MLPs and the LoRA layers of `model` take the leaner way."""
    norms, gated = {f"{family}RMSNorm" for family in FAMILIES}, {f"{family}MLP" for family in FAMILIES}
    for module in model.modules():
        name = type(module).__name__
        if name in norms:
            module.forward = partial(_norm, module)
        elif name in gated and type(module.act_fn).__name__ in SILU:
            module.forward = partial(_mlp, module)
        elif type(module) is PeftLinear:
            module.forward = partial(_lora, module, module.forward)


def _norm(module: Any, hidden_states: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = _Norm.apply(hidden_states, module.weight, module.variance_epsilon)  # type: ignore[no-untyped-call]
    return out


def _mlp(module: Any, x: torch.Tensor) -> torch.Tensor:
    out: torch.Tensor = module.down_proj(_Gated.apply(module.gate_proj(x), module.up_proj(x)))  # type: ignore[no-untyped-call]
    return out


def _lora(module: Any, peft_forward: Any, x: torch.Tensor, *args: Any, **kwargs: Any) -> torch.Tensor:
    """One plain adapter on a plain linear layer goes the lean way, everything else PEFT's own."""
    base, active = module.base_layer, module.active_adapters
    plain = type(base) is torch.nn.Linear and len(active) == 1 and active[0] in module.lora_A
    if not plain or module.disable_adapters or module.merged or args or kwargs or module.lora_variant:
        out: torch.Tensor = peft_forward(x, *args, **kwargs)
        return out
    name = active[0]
    dropped = module.lora_dropout[name](x)
    return _Lora.apply(  # type: ignore[no-untyped-call, no-any-return]
        x,
        dropped if dropped is not x else None,
        base.weight,
        base.bias,
        module.lora_A[name].weight,
        module.lora_B[name].weight,
        module.scaling[name],
    )


class _Norm(torch.autograd.Function):
    """weight · x / √(mean x² + ε), worked out in float32; keeps x and one number per row."""

    @staticmethod
    def forward(ctx: Any, x: torch.Tensor, weight: torch.Tensor, epsilon: float) -> torch.Tensor:
        wide = x.float()
        inverse = torch.rsqrt(wide.pow(2).mean(-1, keepdim=True) + epsilon)
        ctx.save_for_backward(x, weight, inverse)
        return weight * (wide * inverse).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        x, weight, inverse = ctx.saved_tensors
        normed = x.float() * inverse
        slope = (gradients[0] * weight).float()
        along = (slope * normed).mean(-1, keepdim=True)
        return (slope.sub_(normed.mul_(along))).mul_(inverse).to(x.dtype), None, None


class _Gated(torch.autograd.Function):
    """silu(gate) · up; keeps gate and up alone."""

    @staticmethod
    def forward(ctx: Any, gate: torch.Tensor, up: torch.Tensor) -> torch.Tensor:
        ctx.save_for_backward(gate, up)
        return functional.silu(gate).mul_(up)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        gate, up = ctx.saved_tensors
        to_up = functional.silu(gate).mul_(gradients[0])
        return torch.ops.aten.silu_backward(gradients[0] * up, gate), to_up


class _Lora(torch.autograd.Function):
    """x W' + bias + scale · dropped A' B'; the low-rank part is added inside the matrix products.

    A and B are kept in float32 and cast to the type of x here: they are small.
    """

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        dropped: torch.Tensor | None,
        weight: torch.Tensor,
        bias: torch.Tensor | None,
        a: torch.Tensor,
        b: torch.Tensor,
        scale: float,
    ) -> torch.Tensor:
        rows = (x if dropped is None else dropped).reshape(-1, x.shape[-1])
        a_cast, b_cast = a.to(x.dtype), b.to(x.dtype)
        narrow = rows @ a_cast.t()
        out = functional.linear(x, weight, bias)
        out.view(-1, out.shape[-1]).addmm_(narrow, b_cast.t(), alpha=scale)
        ctx.scale, ctx.separate = scale, dropped is not None
        ctx.save_for_backward(rows, narrow, weight, a_cast, b_cast)
        return out

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[Any, ...]:
        rows, narrow, weight, a, b = ctx.saved_tensors
        (gradient,) = gradients
        flat = gradient.reshape(-1, gradient.shape[-1])
        to_narrow = (flat @ b).mul_(ctx.scale)
        to_a = (to_narrow.t() @ rows).float()
        to_b = (flat.t() @ narrow).float().mul_(ctx.scale)
        to_x = to_dropped = None
        if ctx.separate:
            to_dropped = (to_narrow @ a).view(*gradient.shape[:-1], -1) if ctx.needs_input_grad[1] else None
            to_x = gradient @ weight if ctx.needs_input_grad[0] else None
        elif ctx.needs_input_grad[0]:
            to_x = (flat @ weight).addmm_(to_narrow, a).view(*gradient.shape[:-1], -1)
        return to_x, to_dropped, None, None, to_a, to_b, None
