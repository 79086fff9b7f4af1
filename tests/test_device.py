"""What failures of a device mean."""

from __future__ import annotations

import pytest
import torch

from dip_engine.device import as_dip_error
from dip_engine.errors import DeviceLost, OutOfMemory


@pytest.mark.parametrize(
    ("error", "kind"),
    [
        (MemoryError(), OutOfMemory),
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20 MiB."), OutOfMemory),
        (
            RuntimeError("[enforce fail at alloc_cpu.cpp] DefaultCPUAllocator: not enough"),
            OutOfMemory,
        ),
        (
            RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling cublasCreate"),
            OutOfMemory,
        ),
        (RuntimeError("cuDNN error: CUDNN_STATUS_ALLOC_FAILED"), OutOfMemory),
        (RuntimeError("GET was unable to find an engine to execute this computation"), OutOfMemory),
        (RuntimeError("CUDA error: an illegal memory access was encountered"), DeviceLost),
        (RuntimeError("CUDA error: device-side assert triggered"), DeviceLost),
    ],
)
def test_a_failure_of_the_device_is_told_by_its_words(error: Exception, kind: type) -> None:
    found = as_dip_error(error, "cat.png")
    assert type(found) is kind
    assert "cat.png" in found.sentence
    assert found.hint


def test_a_mistake_of_ours_is_no_failure_of_the_device() -> None:
    assert as_dip_error(RuntimeError("The size of tensor a (3) must match"), "cat.png") is None
    assert as_dip_error(ZeroDivisionError(), "cat.png") is None
